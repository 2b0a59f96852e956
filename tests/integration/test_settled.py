"""The ids of live events go away once nobody can send them again; and the upgrade of a store that has events."""

from collections.abc import Collection
from uuid import UUID

import pytest

from services.counter.resent import find_stored
from services.counter.truth import ROLL_UPS, sql
from shared import schema
from shared.clickhouse import ClickHouse, format_time
from shared.clock import wall_clock_ms
from shared.events import Source, StreamEvent
from tests.integration.test_store import counted, expected, insert, page_views
from tests.support.counting import pageview

DAY_MS = 24 * 3600 * 1000
KEPT_DAYS = 14
GONE_DAYS = 22


def accepted(days_ago: int, source: Source) -> StreamEvent:
    """An event that happened when it was accepted, and is sent again now."""
    at = wall_clock_ms() - days_ago * DAY_MS
    return pageview(id=UUID(int=days_ago << 8 | source).bytes, time=at, source=source, attempt=1)


async def store_rows(store: ClickHouse, events: Collection[StreamEvent]) -> None:
    columns = page_views(len(events)) | {
        "entry_ms": [event.time for event in events],
        "id": [UUID(bytes=event.id) for event in events],
        "source": [event.source.name.lower() for event in events],
        "site": [event.site for event in events],
        "time": [format_time(event.time) for event in events],
    }
    await insert(store, columns, "rows")


async def test_what_may_come_again_is_known_and_no_other_live_event(migrated: ClickHouse) -> None:
    events = [accepted(days, source) for days in (KEPT_DAYS, GONE_DAYS) for source in Source]
    await store_rows(migrated, events)
    await migrated.command("OPTIMIZE TABLE events FINAL")
    known = await find_stored(migrated, 0, events)
    assert {event.id for event in events} - {event_id for _, event_id in known} == {accepted(GONE_DAYS, Source.LIVE).id}


async def test_a_store_with_events_is_upgraded_in_place(store: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    known = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: known[:4])
    await schema.migrate(store, shards=1)
    await insert(store, page_views(400), "before")
    await store.command("SYSTEM STOP MERGES events")  # the upgrade waits for no part to be rewritten

    monkeypatch.setattr(schema, "migrations", lambda: known)
    assert await schema.migrate(store, shards=1) == known[4:]
    await insert(store, page_views(400), "before")  # again, by a counter of the version before it
    await insert(store, page_views(400), "after")
    assert await counted(store) == expected(800)
    read = "SELECT DISTINCT item, title FROM kept ORDER BY item"
    pages = await store.query(read)
    await store.command("SYSTEM START MERGES events")
    await store.command("OPTIMIZE TABLE events FINAL")
    assert await counted(store) == expected(800)
    assert await store.query(read) == pages == [(f"/tin-tuc/{page}", f"Tin tức {page}") for page in range(7)]
    for table in ROLL_UPS:
        assert await store.query(sql(f"differs_{table}")) == []
