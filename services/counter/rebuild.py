"""`truycap rebuild`: the read model made again from ClickHouse, while everything runs.

Counting pauses meanwhile: the shard is taken over (the counter comes back by itself afterwards), and what it had
inserted but not applied lies beyond the applied position and is left to it.

Where ClickHouse has lost events, the read model is the last copy of the totals, and is left alone.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from redis.asyncio import Redis

from services.counter.commands import Command, parts
from services.counter.lease import taken_over
from services.counter.replace import replace
from services.counter.truth import Hashes, sql, stored_rows, stored_sites, true_hashes
from shared.clickhouse import Queries, format_time
from shared.delivery import counted_up_to, read_delivery
from shared.errors import TruycapError
from shared.readmodel import (
    VISIT_MS,
    Presence,
    counts_key,
    presence_key,
    presence_score,
    ratings_key,
    views_key,
    visitor_member,
    votes_key,
)
from shared.sites import Sites
from shared.streams import EntryId, delivery_key

_KINDS = {"guest": Presence.GUEST, "member": Presence.MEMBER, "bot": Presence.BOT}


class LostEventsError(TruycapError):
    """ClickHouse lacks events that were counted."""

    code = "lost_events"

    def __init__(self, lost: Mapping[int, int]) -> None:
        shards = ", ".join(f"{number:,} of shard {shard}" for shard, number in lost.items())
        super().__init__(
            f"ClickHouse lacks {sum(lost.values()):,} events that were counted ({shards}), and what the block shows is "
            "the last copy of them. Nothing was changed. `truycap restore` a backup; or run `truycap rebuild "
            "--accept-loss`, and the block shows what ClickHouse still has."
        )


class DoubledRowsError(TruycapError):
    """Rows stand at a position that another row has."""

    code = "doubled_rows"

    def __init__(self, doubled: int) -> None:
        super().__init__(
            f"ClickHouse has {doubled:,} rows at positions that other rows have, and would count them twice. "
            "Nothing was changed. Run `truycap rebuild --store`: it drops them first."
        )


class Rebuilt(NamedTuple):
    """What was written for a shard. correction: how many events more, or fewer, the store has than were counted."""

    shard: int
    rows: int
    fields: int
    correction: int


class Rebuilder:
    """Makes the read model of a store's sites again. now_ms: when, in ms since 1970 UTC."""

    def __init__(self, redis: "Redis", store: Queries, sites: Sites, now_ms: int) -> None:
        self._redis = redis
        self._store = store
        self._sites = sites
        self._now_ms = now_ms

    async def check(self, shards: int, *, loss: bool, doubled: bool) -> None:
        """LostEventsError or DoubledRowsError where the store has such a fault, unless that is allowed."""
        lost: dict[int, int] = {}
        surplus = 0
        for shard in range(shards):
            delivery = await read_delivery(self._redis, shard)
            applied = await counted_up_to(self._redis, shard, delivery)
            rows, positions = await stored_rows(self._store, shard, applied)
            surplus += rows - positions
            if (missing := delivery.stored - positions) > 0:
                lost[shard] = missing
        if lost and not loss:
            raise LostEventsError(lost)
        if surplus and not doubled:
            raise DoubledRowsError(surplus)

    async def rebuild(self, shard: int) -> Rebuilt:
        """The read model of a shard."""
        async with taken_over(self._redis, shard) as epoch:
            delivery = await read_delivery(self._redis, shard)
            applied = await counted_up_to(self._redis, shard, delivery)
            hashes = await true_hashes(self._store, shard, applied)
            rows, positions = await stored_rows(self._store, shard, applied)
            correction = positions + delivery.presence - delivery.counted
            books: list[Command] = [("HSET", delivery_key(shard), "lost", max(0, -correction))]
            if correction > 0:  # Redis has forgotten
                books += [("HINCRBY", delivery_key(shard), name, correction) for name in ("accepted", "counted")]
            configured = {site for site in self._sites if self._sites.shard(site) == shard}
            names = sorted(configured | await stored_sites(self._store, shard))
            old = [key(shard, site) for site in names for key in (counts_key, views_key, ratings_key, votes_key)]
            new = chain(_filling(hashes), await self._present(shard, names, applied))
            await replace(self._redis, shard, epoch, old=old, new=new, also=books)
            return Rebuilt(shard, rows, sum(len(fields) for fields in hashes.values()), correction)

    async def _present(self, shard: int, sites: list[str], applied: EntryId) -> list[Command]:
        """Who viewed a page lately, for sites whose presence is lost; else Redis knows more: pings and leaves."""
        lost = [site for site in sites if not await self._redis.exists(presence_key(shard, site))]
        since = format_time(self._now_ms - VISIT_MS)
        parameters = {"shard": shard, "since": since, "ms": applied.ms, "seq": applied.seq}
        return [
            ("ZADD", presence_key(shard, site), presence_score(_KINDS[kind], at), visitor_member(visitor))
            for site, visitor, at, kind in await self._store.query(sql("present"), parameters)
            if site in lost
        ]


def _filling(hashes: Hashes) -> Iterator[Command]:
    for key, fields in hashes.items():
        for part in parts([word for field in fields.items() for word in field]):
            yield "HSET", key, *part
