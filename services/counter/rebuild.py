"""`truycap rebuild`: the read model made again from ClickHouse, while everything runs.

Counting pauses meanwhile: the shard is taken over (the counter comes back by itself afterwards), and what it had
inserted but not applied lies beyond the applied position and is left to it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import WatchError

from services.counter.changes import Command
from services.counter.delivery import read_delivery
from services.counter.lease import FencedError, Lease, epoch_key
from services.counter.truth import EVERYTHING, Hashes, sql, stored_rows, true_hashes
from shared.clickhouse import Queries, format_time
from shared.readmodel import (
    VISIT_MS,
    Presence,
    counts_key,
    presence_key,
    ratings_key,
    views_key,
    visitor_member,
    votes_key,
)
from shared.sites import Sites
from shared.streams import EntryId, delivery_key

_FIELDS_PER_COMMAND = 1000
_RENEW_SECONDS = 1.0
_KINDS = {"guest": Presence.GUEST, "member": Presence.MEMBER, "bot": Presence.BOT}


class Rebuilt(NamedTuple):
    """What was written for a shard."""

    shard: int
    rows: int
    fields: int


async def rebuild(redis: "Redis", store: Queries, sites: Sites, shards: int, now_ms: int) -> AsyncIterator[Rebuilt]:
    """Make the read model again, shard by shard."""
    for shard in range(shards):
        async with _taken_over(redis, shard) as epoch:
            yield await _rebuild_shard(redis, store, sites, shard, epoch, now_ms)


async def _rebuild_shard(redis: "Redis", store: Queries, sites: Sites, shard: int, epoch: int, now_ms: int) -> Rebuilt:
    delivery = await read_delivery(redis, shard)
    applied = delivery.applied or (EVERYTHING if not delivery.accepted else EntryId(0, 0))
    hashes = await true_hashes(store, shard, applied)
    rows, _ = await stored_rows(store, shard, applied)
    names = [site for site in sites if sites.shard(site) == shard]
    commands = [*_replace(shard, names, hashes), *await _present(redis, store, shard, names, applied, now_ms)]
    commands.append(("HSET", delivery_key(shard), "counted", rows + delivery.presence))
    if not delivery.applied and not delivery.accepted:  # Redis has lost its data
        commands.append(("HSET", delivery_key(shard), "accepted", rows + delivery.waiting))
    await _execute(redis, shard, epoch, commands)
    return Rebuilt(shard, rows, sum(len(fields) for fields in hashes.values()))


def _replace(shard: int, sites: list[str], hashes: Hashes) -> Iterator[Command]:
    for site in sites:
        yield "DEL", *(key(shard, site) for key in (counts_key, views_key, ratings_key, votes_key))
    for key, fields in hashes.items():
        items = list(fields.items())
        for start in range(0, len(items), _FIELDS_PER_COMMAND):
            part = items[start : start + _FIELDS_PER_COMMAND]
            yield "HSET", key, *(word for field, number in part for word in (field, number))


async def _present(
    redis: "Redis", store: Queries, shard: int, sites: list[str], applied: EntryId, now_ms: int
) -> list[Command]:
    """Who viewed a page lately, for sites whose presence is lost. Redis knows more than the store: pings and leaves."""
    lost = [
        site
        for site in sites
        if not await redis.exists(*(presence_key(shard, site, presence) for presence in Presence))
    ]
    parameters = {"shard": shard, "since": format_time(now_ms - VISIT_MS), "ms": applied.ms, "seq": applied.seq}
    return [
        ("ZADD", presence_key(shard, site, _KINDS[kind]), at, visitor_member(visitor))
        for site, visitor, at, kind in await store.query(sql("present"), parameters)
        if site in lost
    ]


async def _execute(redis: "Redis", shard: int, epoch: int, commands: list[Command]) -> None:
    """All commands at once, or FencedError where the shard was taken from us."""
    async with redis.pipeline(transaction=True) as transaction:
        await transaction.watch(epoch_key(shard))
        if await transaction.get(epoch_key(shard)) != b"%d" % epoch:
            raise FencedError
        transaction.multi()
        for command in commands:
            transaction.execute_command(*command)
        try:
            await transaction.execute()
        except WatchError:
            raise FencedError from None


@asynccontextmanager
async def _taken_over(redis: "Redis", shard: int) -> AsyncIterator[int]:
    """Have the shard alone meanwhile."""
    lease = Lease(redis, shard)
    epoch = await lease.acquire(force=True)
    assert epoch  # noqa: S101 - forced

    async def keep() -> None:
        while True:
            await lease.renew(epoch)
            await asyncio.sleep(_RENEW_SECONDS)

    keeping = asyncio.create_task(keep())
    try:
        yield epoch
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError, FencedError):
            await keeping
        await lease.release(epoch)
