"""What the read model must hold, computed from the events in ClickHouse up to a position of the stream.

`truycap verify` compares it with what Redis has, `truycap rebuild` writes it there.
"""

import asyncio
from collections import Counter, defaultdict
from datetime import date
from importlib import resources
from typing import NamedTuple

from shared.clickhouse import Queries, Row
from shared.readmodel import (
    Measure,
    counted_periods,
    counts_field,
    counts_key,
    ratings_field,
    ratings_key,
    views_key,
    votes_field,
    votes_key,
)
from shared.streams import EntryId

ROLL_UPS = ("traffic_hourly", "breakdown_daily", "items")
"""The tables that views fill from `events`."""

_ROWS_AT_ONCE = 5_000_000
"""A position takes some 50 bytes while it is looked at whether another row has it."""

Hashes = dict[str, dict[str, int]]
"""Redis hashes by key."""


class Rows(NamedTuple):
    """How many rows the store has of a shard, and at how many distinct positions: the same unless some are twice."""

    rows: int
    positions: int


def sql(name: str) -> str:
    """A question of this service, from queries/."""
    return resources.files("services.counter").joinpath(f"queries/{name}.sql").read_text("utf-8")


async def stored_rows(store: Queries, shard: int, applied: EntryId) -> Rows:
    """The rows of the entries up to `applied`; those that have left by age count with a position each."""
    ((size, gone),) = await store.query(sql("truth_size"), {"shard": shard})
    parts = 1 + int(size) // _ROWS_AT_ONCE
    rows = positions = int(gone)
    for part in range(parts):
        asked = {**_until(shard, applied), "parts": parts, "part": part}
        ((more_rows, more_positions),) = await store.query(sql("truth_rows"), asked)
        rows += int(more_rows)
        positions += int(more_positions)
    return Rows(rows, positions)


async def stored_sites(store: Queries, shard: int) -> set[str]:
    """The sites that the store has events of on a shard, also those that are no longer configured."""
    return {str(site) for (site,) in await store.query(sql("stored_sites"), {"shard": shard})}


async def true_hashes(store: Queries, shard: int, applied: EntryId) -> Hashes:
    """All hashes of the read model of a shard once the entries up to `applied` are applied and no others."""
    found = [await store.query(sql(f"truth_{name}"), _until(shard, applied)) for name in ("counts", "views", "votes")]
    return await asyncio.to_thread(_hashes, shard, *found)  # millions of votes are seconds, in which a lease ends


def _hashes(shard: int, counted: list[Row], viewed: list[Row], voted: list[Row]) -> Hashes:
    hashes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for site, day, visits, pageviews in counted:
        counts = hashes[counts_key(shard, site)]
        for period in counted_periods(date.fromisoformat(day)):
            counts[counts_field(Measure.VISITS, period)] += visits
            counts[counts_field(Measure.PAGEVIEWS, period)] += pageviews
    for site, item, views in viewed:
        hashes[views_key(shard, site)][item] += views
    for site, item, voter, score in voted:
        hashes[votes_key(shard, site)][votes_field(item, voter)] = score
        hashes[ratings_key(shard, site)][ratings_field(item, score)] += 1
    return {key: dict(fields) for key, fields in hashes.items()}


def _until(shard: int, applied: EntryId) -> dict[str, int]:
    return {"shard": shard, "ms": applied.ms, "seq": applied.seq}
