"""Every library that pyproject.toml asks for stands in the lock that is installed from."""

import re
import tomllib
from typing import Any

import pytest

from tests.support.truycap import ROOT

_NAME = re.compile(r"^([A-Za-z0-9._-]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def names(wanted: list[Any]) -> set[str]:
    """Of requirements, with those of the groups that are included."""
    found = set[str]()
    for one in wanted:
        if isinstance(one, dict):
            found |= names(PROJECT["dependency-groups"][one["include-group"]])
        elif match := _NAME.match(one):
            found.add(match[1].lower())
    return found


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("requirements.lock", ["build"]), ("requirements-dev.lock", ["dev"]), ("requirements-load.lock", ["load"])],
)
def test_a_lock_has_all_that_is_asked_for(lock: str, groups: list[str]) -> None:
    wanted = set().union(*(names(PROJECT["dependency-groups"][group]) for group in groups))
    if lock != "requirements-load.lock":
        wanted |= names(PROJECT["project"]["dependencies"])
    locked = {name.lower() for name in _NAME.findall((ROOT / lock).read_text("utf-8"))}
    assert wanted
    assert wanted <= locked
