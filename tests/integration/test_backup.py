"""`truycap backup` and `truycap restore` with a real Redis and the real ClickHouse engine."""

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from rich.console import Console

from services.commands.backup import run_backup, run_restore
from services.counter import restore as restoring
from services.counter.archive import database, engine, relations
from services.counter.columns import of_rows
from services.counter.lease import Lease, RestoringError, epoch_key, restoring_key
from services.counter.recover import pending_batch
from services.counter.redis_keys import put_back
from services.counter.store import PatientStore
from services.counter.write import write
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.errors import SetupError
from shared.schema import migrate
from shared.streams import GROUP, append, ensure_group, events_key
from tests.support.batches import compute, rows
from tests.support.counting import (
    GOOGLEBOT,
    HANOI,
    SITES,
    counting,
    differences,
    pageview,
    ping,
    rating,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import RedisServer

one_backend = pytest.mark.parametrize("dsn", ["chdb"], indirect=True)
"""For what is the same on both."""


class Care:
    """The two commands on these stores, with a place for a backup."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        self.stores = stores
        self.place = str(folder / "backup")

    async def backup(self, place: str = "") -> str:
        said = StringIO()
        await run_backup(self.stores, Console(file=said, width=200), place or self.place)
        return said.getvalue()

    async def restore(self, place: str = "", *, replace: bool = False) -> str:
        said = StringIO()
        await run_restore(self.stores, Console(file=said, width=200), place or self.place, replace=replace)
        return said.getvalue()

    async def wipe(self) -> None:
        """Both stores as they are on a new machine."""
        await self.stores.redis.flushall()
        tables, views = await relations(self.stores.store)
        for name in [*views, *tables]:
            await self.stores.store.command(f"DROP TABLE {name} SYNC")

    async def side_databases(self) -> list[Any]:
        """What commands leave behind."""
        return await self.stores.store.query(
            "SELECT name FROM system.databases WHERE startsWith(name, concat(currentDatabase(), '_'))"
        )


@pytest.fixture
def care(
    request: pytest.FixtureRequest,
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    tmp_path: Path,
) -> Care:
    folder = tmp_path
    if not dsn.startswith("chdb"):
        folder = request.getfixturevalue("clickhouse_server").backups / tmp_path.name
    return Care(Stores(settings(redis_server.url, dsn), SITES, redis, migrated), folder)


async def count_some(care: Care) -> None:
    redis = care.stores.redis
    await append(redis, 0, [pageview(visitor=number, item=f"/bai/{number % 3}") for number in range(20)])
    await append(
        redis, 0, [pageview("newyork"), pageview(agent=GOOGLEBOT, visitor=50), ping(visitor=30), rating(5), rating(2)]
    )
    await append(redis, 0, [pageview("removed"), pageview("removed")])
    async with counting(care.stores.settings):
        await until_counted(redis)


async def left_by_a_dead_counter(care: Care, visitors: range, *, inserted: int) -> None:
    """A batch that a counter has read, and of which it has inserted so many rows before it died."""
    redis = care.stores.redis
    await ensure_group(redis, 0)
    for visitor in visitors:
        await append(redis, 0, [pageview(visitor=visitor)])
    await redis.xreadgroup(GROUP, "counter-dead", {events_key(0): ">"})
    batch = await pending_batch(redis, 0, "counter-dead")
    assert batch

    async def guard() -> None:
        pass

    assert isinstance(care.stores.store, ClickHouse)
    await write(PatientStore(care.stores.store, 0), batch.token, of_rows(rows(compute(batch))[:inserted]), guard)


async def test_all_that_was_accepted_is_there_after_a_loss_of_both_stores(care: Care) -> None:
    redis = care.stores.redis
    await count_some(care)
    await left_by_a_dead_counter(care, range(100, 104), inserted=3)
    await append(redis, 0, [pageview(visitor=200)])
    await redis.set("salt:2026-11-23", "secret")
    before, epoch = await read_delivery(redis, 0), int(await redis.get(epoch_key(0)) or 0)
    said = await care.backup()
    assert "32 accepted events, 25 of them counted" in said

    await append(redis, 0, [pageview(visitor=300)])  # too late for the backup
    await care.wipe()
    await care.restore()
    after = await read_delivery(redis, 0)
    assert (after.accepted, after.counted, after.dead, after.waiting) == (32, 25, 2, 5)
    assert after == before
    assert int(await redis.get(epoch_key(0)) or 0) > epoch
    assert await redis.exists("salt:2026-11-23", restoring_key(0)) == 0
    assert await redis.pttl("{0}:presence:hanoi") > 0
    assert await differences(redis, care.stores.store) == []

    async with counting(care.stores.settings):
        await until_counted(redis)
        await append(redis, 0, [pageview(visitor=400), rating(3, voter=7)])  # the views are there again
        await until_counted(redis)
    counts = await shown(redis, HANOI)
    assert (counts["visits"]["total"], counts["pageviews"]["total"]) == (26, 26)
    assert (await read_delivery(redis, 0)).balanced
    assert await differences(redis, care.stores.store) == []
    assert await care.side_databases() == []


async def test_a_backup_is_of_one_moment_while_events_come_and_are_counted(care: Care) -> None:
    redis = care.stores.redis
    async with counting(care.stores.settings):
        await append(redis, 0, [pageview(visitor=number) for number in range(50)])
        await care.backup()
        for number in range(20):
            await append(redis, 0, [pageview(visitor=1000 + number)])
        await until_counted(redis)
    assert await differences(redis, care.stores.store) == []
    await care.wipe()
    await care.restore()
    async with counting(care.stores.settings):
        await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == 50
    assert await differences(redis, care.stores.store) == []


async def test_what_waits_to_be_counted_outlives_a_restore_under_a_running_counter(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = care.stores.redis
    await count_some(care)
    await append(redis, 0, [pageview(visitor=100)])
    await care.backup()
    async with counting(care.stores.settings):
        await until_counted(redis)
        await append(redis, 0, [pageview(visitor=101)])
        await until_counted(redis)  # and is thrown away: it was counted after the backup

        async def slowly(*arguments: Any) -> int:
            await append(redis, 0, [pageview(visitor=102), ping(visitor=102)])
            return await put_back(*arguments)

        monkeypatch.setattr(restoring, "put_back", slowly)
        said = await care.restore(replace=True)
        assert "Threw away 27 counted events and 2 dead letters." in said
        assert "2 that came since" in said
        await until_counted(redis)
        await append(redis, 0, [pageview(visitor=103)])
        await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == 23
    delivery = await read_delivery(redis, 0)
    assert (delivery.accepted, delivery.balanced) == (31, True)
    assert await differences(redis, care.stores.store) == []


@one_backend
async def test_stores_that_hold_something_are_not_replaced_unasked(care: Care) -> None:
    redis = care.stores.redis
    await count_some(care)
    await care.backup()
    await redis.hset("{0}:counts:hanoi", "visits:1999-01-01", "1")
    await redis.set("{0}:counts:later", "1")
    with pytest.raises(SetupError, match=r"hold 25 counted events and 2 dead letters\. With --replace"):
        await care.restore()
    assert await redis.exists("{0}:counts:later")
    await care.restore(replace=True)
    assert not await redis.exists("{0}:counts:later")
    assert await differences(redis, care.stores.store) == []


async def test_a_restore_that_was_cut_off_lets_nobody_count_until_it_is_run_again(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = care.stores.redis
    await count_some(care)
    await care.backup()
    await care.wipe()

    async def killed(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "put_back", killed)
        with pytest.raises(KeyboardInterrupt):
            await care.restore()
    with pytest.raises(RestoringError):
        await Lease(redis, 0).acquire(force=True)
    with pytest.raises(RestoringError):
        await care.backup(f"{care.place}-2")
    async with counting(care.stores.settings):
        await append(redis, 0, [pageview(visitor=100)])
        await care.restore()
        await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == 21
    assert await differences(redis, care.stores.store) == []
    assert await care.side_databases() == []


@one_backend
async def test_what_a_killed_backup_left_is_removed_by_the_next(care: Care) -> None:
    name = await database(care.stores.store)
    await care.stores.store.command(f"CREATE DATABASE `{name}_backup`")
    await care.stores.store.command(f"CREATE TABLE `{name}_backup`.events CLONE AS events")
    assert "Removed what an earlier backup had left" in await care.backup()
    assert await care.side_databases() == []


@one_backend
async def test_an_older_schema_is_brought_up_to_date(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared import schema

    known = schema.migrations()
    await care.wipe()
    monkeypatch.setattr(schema, "migrations", lambda: known[:-1])
    await migrate(care.stores.store, 1)
    await care.backup()
    monkeypatch.undo()
    await care.wipe()
    await care.restore()
    assert await schema.pending(care.stores.store, 1) == []


@one_backend
async def test_a_backup_that_does_not_fit_is_refused_and_nothing_is_changed(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError, match=r"There is no backup at "):
        await care.restore()
    await care.stores.store.command("CREATE TABLE other (x UInt8) ENGINE = MergeTree ORDER BY x")
    await care.stores.store.command(f"BACKUP TABLE other TO {engine(care.place, own_files=True)}")
    with pytest.raises(SetupError, match=r"is no backup of truycap"):
        await care.restore()
    with pytest.raises(SetupError, match=r"A backup lies at .* already"):
        await care.backup()

    care.place += "-2"
    await care.backup()
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "newest_version", lambda: 0)
        with pytest.raises(SetupError, match=r"which is newer\. Install that version"):
            await care.restore()
    with monkeypatch.context() as patch:
        info = await care.stores.redis.info("server")

        async def older(*_: Any) -> dict[str, Any]:
            return {**info, "redis_version": "6.9.0"}

        patch.setattr(care.stores.redis, "info", older)
        with pytest.raises(SetupError, match=r"this one is 6\.9\.0\. Install that one"):
            await care.restore()
    care.stores = replace(care.stores, settings=care.stores.settings.model_copy(update={"shards": 2}))
    with pytest.raises(SetupError, match=r"The backup holds 1 shards, TRUYCAP_SHARDS is 2\. Set it to 1"):
        await care.restore()
    tables, _ = await relations(care.stores.store)
    assert "other" in tables
    assert await care.side_databases() == []


async def test_a_place_that_clickhouse_may_not_write_to(care: Care, tmp_path: Path) -> None:
    if care.stores.embedded:
        (tmp_path / "file").touch()
        with pytest.raises(SetupError, match=r"cannot be written to \(Not a directory\)"):
            await care.backup(str(tmp_path / "file" / "backup"))
    with pytest.raises(SetupError, match=r"backups\.allowed_disk"):
        await care.backup("Disk('backups', 'x')")
    if not care.stores.embedded:
        with pytest.raises(SetupError, match=r"set backups\.allowed_path in its configuration"):
            await care.backup(str(tmp_path / "elsewhere"))
