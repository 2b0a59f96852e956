"""What all tests share: no setting of the machine that they run on reaches them."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TRUYCAP_"):
            monkeypatch.delenv(name)
