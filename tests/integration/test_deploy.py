"""The settings that deploy/clickhouse gives a server are ones that the engine knows: a misspelt one has no effect."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from shared.clickhouse import ClickHouse

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "clickhouse"
NO_SETTINGS = {"merge_tree", "logger", "backups"}
"""Elements of the configuration that have elements of their own."""


@pytest.mark.parametrize(
    ("file", "path", "table"),
    [
        ("config.xml", ".", "server_settings"),
        ("config.xml", "merge_tree", "merge_tree_settings"),
        ("users.xml", "profiles/default", "settings"),
    ],
)
async def test_the_settings_are_known(store: ClickHouse, file: str, path: str, table: str) -> None:
    elements = ElementTree.parse(DEPLOY / file).find(path)
    assert elements is not None
    given = {element.tag for element in elements if "remove" not in element.attrib} - NO_SETTINGS
    known = {name for (name,) in await store.query(f"SELECT name FROM system.{table}")}
    assert given, path
    assert given <= known, given - known


def test_merges_fit_into_their_pool() -> None:
    """ClickHouse does not start where it is to keep more of the pool free than there is."""
    config = ElementTree.parse(DEPLOY / "config.xml")

    def number(path: str) -> int:
        return int(config.findtext(path) or "")

    pool = number("background_pool_size") * number("background_merges_mutations_concurrency_ratio")
    kept = [int(e.text or "") for e in config.findall("merge_tree/") if e.tag.startswith("number_of_free_entries")]
    assert len(kept) == 3
    assert max(kept) < pool
