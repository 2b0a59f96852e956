"""`truycap verify`: the delivery identity, the read model against ClickHouse, the roll-ups against the events.

Nothing has to stand still for it: the read model is read at one moment together with the position that it has reached,
and ClickHouse is asked for what it held at that position.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from redis.asyncio import Redis

from services.counter.expired import Month, expired_months, unlike
from services.counter.truth import ROLL_UPS, Hashes, sql, stored_rows, stored_sites, true_hashes
from shared.clickhouse import Queries
from shared.delivery import Delivery, counted_up_to, parse_delivery, read_delivery
from shared.readmodel import counts_key, ratings_key, views_key, votes_key
from shared.sites import Sites
from shared.streams import delivery_key

_TRIES = 3
_PAUSE_SECONDS = 0.5


class Mend(IntEnum):
    """What mends a difference. `rebuild --store` does all that `rebuild` does; a backup comes before both."""

    NOTHING = 0
    REBUILD = 1
    REBUILD_STORE = 2
    RESTORE = 3


class Finding(NamedTuple):
    """The outcome of one check. differences: a line each, empty where all is well; mend: what mends them."""

    check: str
    differences: list[str]
    mend: Mend


async def verify(redis: "Redis", store: Queries, sites: Sites, shards: int) -> AsyncIterator[Finding]:
    """Every check of every shard, then the roll-ups."""
    for shard in range(shards):
        delivery = await read_delivery(redis, shard)
        yield Finding(
            f"shard {shard}: {delivery}",
            [] if delivery.balanced else [f"delivery of shard {shard}: {delivery}"],
            Mend.NOTHING,
        )
        async for finding in _shard(redis, store, sites, shard):
            yield finding
        if months := await expired_months(store, shard):
            yield await _left(store, shard, months)
    for table in ROLL_UPS:
        yield Finding(f"{table} against the events", await _roll_up(store, table), Mend.REBUILD_STORE)


async def _shard(redis: "Redis", store: Queries, sites: Sites, shard: int) -> AsyncIterator[Finding]:
    configured = {site for site in sites if sites.shard(site) == shard}
    names = sorted(configured | await stored_sites(store, shard))
    shown, delivery = await _snapshot(redis, shard, names)
    applied = await counted_up_to(redis, shard, delivery)
    true = await true_hashes(store, shard, applied)
    rows, positions = await stored_rows(store, shard, applied)
    yield Finding(
        f"shard {shard}: read model of {len(names)} sites against the events", compare(shown, true), Mend.REBUILD
    )
    counted = delivery.stored
    differences = []
    if rows != positions:
        differences.append(f"shard {shard}: {rows - positions} rows stand at a position that another row has")
    if positions != counted:
        differences.append(f"shard {shard}: {counted} events were counted, ClickHouse has {positions} rows")
    # What Redis has forgotten a rebuild takes over.
    mend = Mend.RESTORE if positions < counted else Mend.REBUILD_STORE if rows != positions else Mend.REBUILD
    yield Finding(f"shard {shard}: {rows} rows against {counted} counted events", differences, mend)


async def _left(store: Queries, shard: int, months: Mapping[Month, int]) -> Finding:
    """What has left the events stands in the roll-ups alone."""
    differences = [
        f"shard {shard}: {months[month]} page views of {month} had left, the roll-ups say {', '.join(map(str, said))}"
        for month, said in (await unlike(store, months)).items()
    ]
    return Finding(f"shard {shard}: roll-ups of {len(months)} months that have left", differences, Mend.RESTORE)


async def _snapshot(redis: "Redis", shard: int, sites: Iterable[str]) -> tuple[Hashes, Delivery]:
    """The read model's hashes and how far they are applied, at one moment."""
    keys = [key(shard, site) for site in sites for key in (counts_key, views_key, ratings_key, votes_key)]
    async with redis.pipeline(transaction=True) as transaction:
        transaction.hgetall(delivery_key(shard))
        for key in keys:
            transaction.hgetall(key)
        delivery, *hashes = await transaction.execute()
    shown = {
        key: {field.decode(): int(value) for field, value in fields.items()}
        for key, fields in zip(keys, hashes, strict=True)
    }
    return shown, parse_delivery(delivery, 0)


def compare(shown: Hashes, true: Hashes) -> list[str]:
    """Where the read model differs from what it must be, a line each; a field that is 0 may as well be missing."""
    return [
        f"{key.partition(':')[2]} {field}: the read model says {here}, ClickHouse {there}"
        for key in sorted(shown.keys() | true.keys())
        for field in sorted(shown.get(key, {}).keys() | true.get(key, {}).keys())
        if (here := shown.get(key, {}).get(field, 0)) != (there := true.get(key, {}).get(field, 0))
    ]


async def _roll_up(store: Queries, table: str) -> list[str]:
    """Differences that stay: an insert that is under way has reached the table but not yet every roll-up."""
    stayed = await _differing(store, table)
    for _ in range(_TRIES):
        if not stayed:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
        stayed &= await _differing(store, table)
    return [f"{table} {what}: the events say {said}, the roll-up {shown}" for what, said, shown in sorted(stayed)]


async def _differing(store: Queries, table: str) -> set[tuple[str, str, str]]:
    return {(what, said, shown) for what, said, shown in await store.query(sql(f"differs_{table}"))}
