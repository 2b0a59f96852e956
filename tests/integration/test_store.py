"""What the counter relies on in the store, the same in chDB and over HTTP."""

import gc
import uuid
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from services.commands.migrate import run_migrate, show_migrations
from shared import schema
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.errors import SetupError, StoreError
from tests.support.counting import settings
from tests.support.servers import ClickHouseServer, free_port

ONE_MONTH = (date(2026, 11, 22),)
TWO_MONTHS = (date(2026, 10, 31), date(2026, 11, 1))
KINDS = ("guest", "guest", "member", "bot")


def page_views(count: int, days: Sequence[date] = ONE_MONTH) -> dict[str, list[Any]]:
    """A batch of page views, each day's in turn; every fourth is a bot's, every second begins a visit."""
    picks = range(count)
    return {
        "shard": [0] * count,
        "entry_ms": [wall_clock_ms()] * count,  # of late: else their ids would go away
        "entry_seq": [0] * count,
        "entry_index": [pick % 65536 for pick in picks],
        "id": [uuid.UUID(int=pick) for pick in picks],
        "type": ["pageview"] * count,
        "source": ["live"] * count,
        "site": ["caobang"] * count,
        "time": [datetime(2026, 11, 22, 1, 2, 3, pick % 1000 * 1000, UTC) for pick in picks],
        "date": [days[pick % len(days)] for pick in picks],
        "hour": [pick % 24 for pick in picks],
        "item": [f"/tin-tuc/{pick % 7}" for pick in picks],
        "title": [f"Tin tức {pick % 7}" for pick in picks],
        "visitor": [pick * 2**40 for pick in picks],
        "kind": [KINDS[pick % 4] for pick in picks],
        "visit": [pick % 2 for pick in picks],
        "bot": ["Googlebot" if KINDS[pick % 4] == "bot" else "" for pick in picks],
        "browser": ["Firefox"] * count,
        "system": ["Linux"] * count,
        "country": ["VN"] * count,
        "referrer": [""] * count,
        "score": [0] * count,
        "previous": [0] * count,
        "agent": ["Mozilla/5.0"] * count,
    }


def votes(*changes: tuple[int, int]) -> dict[str, list[Any]]:
    """A batch of ratings of one item: (score, the voter's score before or 0)."""
    columns = page_views(len(changes))
    columns["type"] = ["rating"] * len(changes)
    columns["kind"] = ["guest"] * len(changes)
    columns["item"] = ["/bai-viet"] * len(changes)
    columns["score"] = [score for score, _ in changes]
    columns["previous"] = [previous for _, previous in changes]
    return columns


async def insert(store: ClickHouse, columns: Mapping[str, Sequence[Any]], token: str) -> None:
    once = {
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "async_insert": 0,
    }
    await store.insert("events", columns, once)


async def counted(store: ClickHouse) -> dict[str, Any]:
    """What the events table and each roll-up behind it say."""
    [[events]] = await store.query("SELECT count() FROM events")
    [traffic] = await store.query("SELECT sum(pageviews), sum(bots), sum(visits) FROM traffic_hourly")
    parts = await store.query("SELECT dimension, sum(pageviews) FROM breakdown_daily GROUP BY dimension")
    breakdown = {str(dimension): int(pageviews) for dimension, pageviews in parts}
    [[views]] = await store.query("SELECT sum(views) FROM items")
    return {"events": events, "traffic": tuple(traffic), "breakdown": breakdown, "views": views}


def expected(count: int) -> dict[str, Any]:
    """The same, worked out from how `page_views` makes them; count divides by four."""
    people, bots = count * 3 // 4, count // 4
    breakdown = dict.fromkeys(("page", "referrer", "browser", "system", "country"), people) | {"bot": bots}
    return {"events": count, "traffic": (people, bots, count // 2), "breakdown": breakdown, "views": people}


async def test_migrate_applies_everything_once(store: ClickHouse) -> None:
    assert await schema.migrate(store, shards=2) == schema.migrations()
    assert await schema.migrate(store, shards=2) == []
    assert await schema.pending(store, shards=2) == []


async def test_migrate_finishes_what_was_cut_off(store: ClickHouse) -> None:
    await store.command(schema.migrations()[0].statements[0])

    assert await schema.migrate(store, shards=1) == schema.migrations()


async def test_every_table_that_is_counted_in_syncs_its_inserts_and_its_merges(migrated: ClickHouse) -> None:
    await migrated.command("TRUNCATE TABLE migrations")  # as after one that was cut off before it was written down
    assert await schema.migrate(migrated, shards=1) == schema.migrations()
    tables = await migrated.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND create_table_query LIKE '%fsync_after_insert = 1, fsync_part_directory = 1,'"
        " || ' min_rows_to_fsync_after_merge = 1%' ORDER BY name"
    )
    assert [name for (name,) in tables] == ["breakdown_daily", "events", "expired", "items", "traffic_hourly"]


async def test_the_number_of_shards_is_fixed_with_the_store(migrated: ClickHouse) -> None:
    with pytest.raises(SetupError, match="TRUYCAP_SHARDS=1, not 4"):
        await schema.migrate(migrated, shards=4)


async def test_a_newer_schema_is_refused(migrated: ClickHouse) -> None:
    await migrated.command("INSERT INTO migrations (version, name) VALUES (9999, 'later')")

    with pytest.raises(SetupError, match="newer truycap"):
        await schema.pending(migrated, shards=1)
    with pytest.raises(SetupError, match="newer truycap"):
        await schema.migrate(migrated, shards=1)
    await schema.check_migrated(migrated)  # an upgrade goes on: the services before it count as ever


async def test_a_store_that_is_only_looked_at_is_not_changed(store: ClickHouse, dsn: str, database: str) -> None:
    everything = "SELECT database, name, metadata_modification_time FROM system.tables ORDER BY ALL"
    before = await store.query(everything)
    assert await schema.pending(store, shards=1) == schema.migrations()
    assert await ClickHouse.find(dsn.replace(database, f"{database}_other")) is None
    assert await store.query(everything) == before
    assert await store.query(f"SELECT name FROM system.databases WHERE name = '{database}_other'") == []


async def test_the_command_says_what_it_does_and_what_it_would_do(store: ClickHouse, dsn: str) -> None:
    said, configured = StringIO(), settings("redis://unused", dsn)
    await show_migrations(configured, Console(file=said, width=300))
    shown = said.getvalue()
    assert "would apply 0001 events\n\nCREATE TABLE events\n(" in shown
    assert "PARTITION BY toYYYYMM(date)\n" in shown
    assert shown.endswith("\nNothing was changed.\n")
    said.truncate(0)
    await run_migrate(configured, Console(file=said, width=300))
    await show_migrations(configured, Console(file=said, width=300))
    *applied, first, second = said.getvalue().strip("\0").splitlines()
    assert applied == [f"applying {version:04d} {name}" for version, name, _ in schema.migrations()]
    assert first == second == "The schema is up to date."


async def test_a_folder_that_chdb_never_had_is_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        assert await ClickHouse.find(f"chdb://{folder}") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [ONE_MONTH, TWO_MONTHS], ids=["one partition", "two partitions"])
async def test_a_repeated_token_is_dropped_everywhere(migrated: ClickHouse, days: Sequence[date]) -> None:
    for _ in range(3):
        await insert(migrated, page_views(40, days), "batch 1")

    assert await counted(migrated) == expected(40)


@pytest.mark.parametrize("days", [ONE_MONTH, TWO_MONTHS], ids=["one partition", "two partitions"])
async def test_the_same_rows_under_another_token_are_counted(migrated: ClickHouse, days: Sequence[date]) -> None:
    await insert(migrated, page_views(40, days), "batch 1")
    await insert(migrated, page_views(40, days), "batch 2")

    assert await counted(migrated) == expected(80)


async def test_a_repeated_token_is_dropped_on_another_connection(migrated: ClickHouse, dsn: str) -> None:
    await insert(migrated, page_views(40), "batch 1")
    other = await ClickHouse.connect(dsn)
    try:
        await insert(other, page_views(40), "batch 1")
    finally:
        await other.close()

    assert await counted(migrated) == expected(40)


async def test_a_large_batch_is_counted_whole_and_once(migrated: ClickHouse) -> None:
    """Large enough that the driver sends it as several blocks."""
    batch = page_views(30_000, TWO_MONTHS)
    for _ in range(2):
        await insert(migrated, batch, "batch 1")

    assert await counted(migrated) == expected(30_000)


async def test_a_changed_vote_moves(migrated: ClickHouse) -> None:
    await insert(migrated, votes((5, 0), (5, 0), (1, 0)), "batch 1")
    await insert(migrated, votes((2, 5)), "batch 2")
    await insert(migrated, votes((2, 5)), "batch 2")

    [[totals]] = await migrated.query("SELECT sumMap(votes) FROM items WHERE item = '/bai-viet'")
    assert tuple(totals) == ([1, 2, 5], [1, 1, 1])
    [[views]] = await migrated.query("SELECT sum(views) FROM items")
    assert views == 0


@pytest.mark.parametrize(
    "statement",
    ["SELEC 1", "SELECT 1 FROM no_such_table", "SELECT no_such_column", "SELECT no_such_function()"],
)
async def test_what_can_never_work_is_not_retried(store: ClickHouse, statement: str) -> None:
    for run in (store.query, store.command):
        with pytest.raises(StoreError) as caught:
            await run(statement)
        assert not caught.value.retry


async def test_an_insert_into_no_table_is_not_retried(store: ClickHouse) -> None:
    with pytest.raises(StoreError) as caught:
        await insert(store, page_views(4), "batch 1")
    assert not caught.value.retry


async def test_a_setting_that_does_not_exist_is_not_retried(migrated: ClickHouse) -> None:
    with pytest.raises(StoreError) as caught:
        await migrated.command("SELECT 1 SETTINGS no_such_setting = 1")
    assert not caught.value.retry


@pytest.mark.parametrize(
    "text",
    ["Cổng thông tin điện tử tỉnh Cao Bằng", 'it\'s "quoted" `so`', "back\\slash\\n", "a\tb\nc", "", "x" * 20_000],
    ids=["Vietnamese", "quotes", "backslashes", "control characters", "empty", "long"],
)
async def test_parameters_come_back_as_they_were(store: ClickHouse, text: str) -> None:
    rows = await store.query(
        "SELECT {text:String}, {number:UInt64}, {day:Date}, {list:Array(String)}",
        {"text": text, "number": 2**64 - 1, "day": date(2026, 11, 22), "list": [text, "'"]},
    )
    assert [tuple(row) for row in rows] == [(text, 2**64 - 1, date(2026, 11, 22), [text, "'"])]


async def test_rows_come_back_as_they_were(migrated: ClickHouse) -> None:
    columns = page_views(4)
    await insert(migrated, columns, "batch 1")

    names = ", ".join(columns)
    rows = await migrated.query(f"SELECT {names} FROM events ORDER BY entry_index")
    columns["time"] = [time.replace(tzinfo=None) for time in columns["time"]]
    assert [tuple(row) for row in rows] == list(zip(*columns.values(), strict=True))


async def test_databases_are_apart(migrated: ClickHouse, dsn: str, database: str) -> None:
    await insert(migrated, page_views(4), "batch 1")
    other = await ClickHouse.connect(dsn.replace(database, f"{database}_other"))
    try:
        await schema.migrate(other, shards=1)
        assert (await counted(other))["events"] == 0
        await other.command(f"DROP DATABASE `{database}_other`")
    finally:
        await other.close()


async def test_a_server_that_does_not_listen_is_retried() -> None:
    with pytest.raises(StoreError) as caught:
        await ClickHouse.connect(f"http://127.0.0.1:{free_port()}/truycap")
    assert caught.value.retry


async def test_a_killed_server_is_retried_with_the_same_token(tmp_path: Path) -> None:
    with ClickHouseServer(tmp_path) as server:
        store = await ClickHouse.connect(server.dsn)
        try:
            await schema.migrate(store, shards=1)
            await insert(store, page_views(40), "batch 1")
            server.kill()

            with pytest.raises(StoreError) as caught:
                await insert(store, page_views(40), "batch 1")
            assert caught.value.retry

            server.start()
            await insert(store, page_views(40), "batch 1")
            assert await counted(store) == expected(40)
        finally:
            await store.close()


class Values(list[Any]):
    """A column that can be referred to weakly."""


async def test_an_insert_leaves_nothing_to_the_garbage_collector(migrated: ClickHouse) -> None:
    columns = {name: Values(values) for name, values in page_views(3).items()}
    gone = [weakref.ref(values) for values in columns.values()]
    gc.disable()
    try:
        await insert(migrated, columns, "once")
        del columns
        await migrated.query("SELECT 1")  # in the same thread, which has forgotten the insert by then
        assert not any(values() for values in gone)
    finally:
        gc.enable()
