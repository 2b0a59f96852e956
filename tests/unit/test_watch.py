"""truycap.toml changed while truycap runs."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared import metrics, watch
from shared.errors import SetupError, UnknownSiteError
from shared.sites import Site
from shared.watch import WatchedSites

DEMO = Site(id="demo", hostnames=["*"])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SETTLED_SECONDS", 0.02)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)


def table(site: str, timezone: str = "UTC") -> str:
    return f'[[site]]\nid = "{site}"\nhostnames = ["*"]\ntimezone = "{timezone}"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "truycap.toml"
    file.write_text(table("hue"), "utf-8")
    return file


async def test_who_holds_the_sites_sees_a_new_one_and_a_change(path: Path) -> None:
    sites = WatchedSites(path, 4)
    held = sites
    path.write_text(table("hue", "Asia/Kolkata") + table("hanoi"), "utf-8")
    with capture_logs() as said:
        await sites.look()
    assert list(held) == ["hue", "hanoi"]
    assert held.find("hue").zone.key == "Asia/Kolkata"
    assert [(line["added"], line["changed"], line["removed"]) for line in said] == [(["hanoi"], ["hue"], [])]


async def test_a_site_taken_out_is_not_found_and_what_was_accepted_for_it_is_still_counted(path: Path) -> None:
    path.write_text(table("hue") + table("hanoi"), "utf-8")
    sites = WatchedSites(path, 4)
    shard = sites.shard("hanoi")
    path.write_text(table("hue"), "utf-8")
    await sites.look()
    with pytest.raises(UnknownSiteError):
        sites.find("hanoi")
    known = sites.once_known("hanoi")
    assert known
    assert known.id == "hanoi"
    assert sites.shard("hanoi") == shard
    assert sites.once_known("never") is None


async def test_a_broken_file_leaves_the_sites_and_is_named_once_for_each_mistake(path: Path) -> None:
    sites = WatchedSites(path, 1)
    with capture_logs() as said:
        for text in ("[[site]\n", "[[site]\n# still\n", table("hue") + "colour = 1\n"):
            path.write_text(text, "utf-8")
            for _ in range(3):
                await sites.look()
        assert list(sites) == ["hue"]
        assert metrics.SITES_BROKEN._value.get() == 1
        path.write_text(table("hanoi"), "utf-8")
        await sites.look()
    assert list(sites) == ["hanoi"]
    assert metrics.SITES_BROKEN._value.get() == 0
    wrong = [line["error"] for line in said if line["log_level"] == "error"]
    assert len(wrong) == 2
    assert "not valid TOML" in wrong[0]
    assert "line 5: unknown key 'colour'" in wrong[1]


async def test_a_file_that_is_gone_leaves_the_sites(path: Path) -> None:
    sites = WatchedSites(path, 1, optional=True)
    path.unlink()
    await sites.look()
    assert list(sites) == ["hue"]
    path.write_text(table("hanoi"), "utf-8")
    await sites.look()
    assert list(sites) == ["hanoi"]


async def test_a_file_that_is_being_written_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SETTLED_SECONDS", 0.1)
    sites = WatchedSites(path, 1)
    path.write_text("", "utf-8")  # as an editor that empties it first
    looking = asyncio.create_task(sites.look())
    await asyncio.sleep(0.05)
    assert list(sites) == ["hue"]
    path.write_text(table("hue") + table("hanoi"), "utf-8")
    await looking
    assert list(sites) == ["hue", "hanoi"]


async def test_a_file_that_goes_on_changing_is_left_for_the_next_look(path: Path) -> None:
    sites = WatchedSites(path, 1)

    async def write() -> None:
        while True:
            path.write_text(table("hanoi"), "utf-8")
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await sites.look()
    writing.cancel()
    assert list(sites) == ["hue"]
    await sites.look()
    assert list(sites) == ["hanoi"]


async def test_a_file_put_in_its_place_with_the_same_size_and_time_is_seen(path: Path) -> None:
    sites = WatchedSites(path, 1)
    other = path.with_suffix(".new")
    other.write_text(table("hoi"), "utf-8")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    await sites.look()
    assert list(sites) == ["hoi"]


async def test_the_watch_looks_by_itself(path: Path) -> None:
    sites = WatchedSites(path, 1)
    watching = asyncio.create_task(sites.watch())
    path.write_text(table("hanoi"), "utf-8")
    async with asyncio.timeout(5):
        while "hanoi" not in sites:
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_the_demo_stays_beside_what_the_file_names(tmp_path: Path) -> None:
    path = tmp_path / "truycap.toml"
    sites = WatchedSites(path, 1, beside=[DEMO], optional=True)
    assert list(sites) == ["demo"]
    path.write_text(table("hue"), "utf-8")
    await sites.look()
    assert list(sites) == ["demo", "hue"]
    path.write_text(table("demo", "Asia/Kolkata"), "utf-8")
    await sites.look()
    assert [site.zone.key for site in sites.values()] == ["Asia/Kolkata"]


def test_a_file_that_is_broken_at_the_start_is_refused(path: Path) -> None:
    path.write_text("[[site]\n", "utf-8")
    with pytest.raises(SetupError, match="not valid TOML"):
        WatchedSites(path, 1)
    with pytest.raises(SetupError, match="cannot be read"):
        WatchedSites(path.with_name("missing.toml"), 1)
