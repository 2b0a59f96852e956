"""A batch that is computed while the one before it is written and applied, with a real Redis and the real engine."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.counter import ahead, consume
from services.counter.apply import apply
from services.counter.batch import Batch
from services.counter.ceiling import level_change
from services.counter.changes import changes
from services.counter.enrich import enrich
from services.counter.lease import FencedError, Lease
from services.counter.outcome import Computed, Outcome
from services.counter.overlap import LostReadError, hand_over
from services.counter.recover import pending_batch, pending_consumers
from services.counter.resent import RecentIds
from services.counter.sort_out import sort_out
from services.counter.state import read_state
from services.counter.write import write_once
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.events import Source, StreamEvent
from shared.readmodel import VISIT_MS
from shared.streams import GROUP, append, ensure_group, events_key
from tests.support.batches import leave, ping, view, vote
from tests.support.counting import (
    GOOGLEBOT,
    HANOI,
    SITES,
    counting,
    differences,
    event_id,
    pageview,
    rating,
    settings,
    shown,
    until,
    until_counted,
)
from tests.support.servers import RedisServer

DAY_MS = 86_400_000


def some_event(chance: random.Random, begin: int) -> StreamEvent:
    """By one of few visitors and voters of two sites, within an hour of `begin`, ms after NOW."""
    kinds: list[Callable[..., StreamEvent]] = [view, view, ping, leave, vote]
    kind = chance.choice(kinds)
    other: dict[str, Any] = {
        "site": chance.choice(["hanoi", "kolkata", "nowhere"]),
        "source": chance.choice([Source.LIVE, Source.IMPORT]),
        "member": chance.random() < 0.3,
        "item": chance.choice(["/a", "/b"]),
    }
    if chance.random() < 0.2:
        other["agent"] = GOOGLEBOT
    words = (chance.randint(1, 5),) if kind is vote else ()
    return kind(*words, chance.randrange(12), begin + chance.randrange(2 * VISIT_MS), **other)


async def computed(redis: "Redis", batch: Batch, before: Computed | None = None) -> Computed:
    outcome, recent = Outcome(), RecentIds()
    arrivals = sort_out(batch, SITES, {}, outcome)
    state = await read_state(redis, 0, 1, arrivals, before)
    recent.begin(batch, {})
    enrich(0, arrivals, state, recent, outcome)
    outcome.level_change = level_change(0, state.dead_level, outcome, frozenset(), 0)
    return Computed(batch, state, outcome)


async def told(redis: "Redis", batch: Batch, before: Computed | None = None) -> tuple[object, ...]:
    """What is said of the visitors and voters of a batch."""
    arrivals = sort_out(batch, SITES, {}, Outcome())
    state = await read_state(redis, 0, 1, arrivals, before)
    return {key: place.seen for key, place in state.places.items()}, state.votes, state.dead_level


async def read(redis: "Redis", consumer: str) -> Batch:
    """What waits, read by a consumer."""
    await redis.xreadgroup(GROUP, consumer, {events_key(0): ">"})
    batch = await pending_batch(redis, 0, consumer)
    assert batch
    return batch


@pytest.mark.parametrize("seed", range(8))
async def test_redis_may_be_asked_before_the_batch_before_is_applied_or_after(redis: Redis, seed: int) -> None:
    chance, before, said = random.Random(seed), None, list[Any]()
    assert await Lease(redis, 0).acquire() == 1
    await ensure_group(redis, 0)
    for number in range(6):
        await append(redis, 0, [some_event(chance, number * VISIT_MS // 2) for _ in range(15)])
        batch = await read(redis, "counter-1")
        if before:
            said = [await told(redis, batch, before)]
            assert await apply(redis, before.batch, 1, list(changes(before)))
            said += [await told(redis, batch, before), await told(redis, batch)]
            assert said == [said[-1]] * 3
            before = await computed(redis, batch, before)
        else:
            before = await computed(redis, batch)
    places, votes, dead_level = said[-1]
    assert dead_level
    assert votes
    assert any(score for seen in places.values() for score in seen.values())


class Stage:
    """The first batch is written when the second is computed. at: what happens just before the first is applied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: Callable[[], Awaitable[Any]] = consume.at_once) -> None:
        self.computed: list[str] = []
        self.applied: list[str] = []
        self._at: Callable[[], Awaitable[Any]] | None = at
        self._second = asyncio.Event()
        monkeypatch.setattr(ahead, "LEAST_ENTRIES", 2)
        monkeypatch.setattr(ahead, "MOST_EVENTS", 4)
        monkeypatch.setattr(consume, "Computed", self._computed)
        monkeypatch.setattr(consume, "write_once", self._write_once)
        monkeypatch.setattr(consume, "apply", self._apply)

    async def second_computed(self) -> None:
        await asyncio.wait_for(self._second.wait(), 20)

    async def _write_once(self, *arguments: Any) -> bool:
        await self.second_computed()
        return await write_once(*arguments)

    def _computed(self, batch: Batch, *others: Any) -> Computed:
        self.computed.append(batch.token)
        if len(self.computed) == 2:
            self._second.set()
        return Computed(batch, *others)

    async def _apply(self, redis: "Redis", batch: Batch, *arguments: Any) -> bool:
        if happens := self._at:
            self._at = None
            await happens()
        applied = await apply(redis, batch, *arguments)
        self.applied.append(batch.token)
        return applied


async def accept(redis: "Redis") -> None:
    """Two full batches, the second of which depends on the first, and one more."""
    old = wall_clock_ms() - 40 * DAY_MS
    await append(redis, 0, [pageview(id=event_id(1), visitor=1), pageview(id=event_id(2), visitor=2)])
    await append(redis, 0, [rating(5, voter=1), pageview(id=event_id(3), visitor=3, source=Source.IMPORT, time=old)])
    # Seen before, sent again, sent again by a browser; repeated by an import; a vote that changes.
    await append(redis, 0, [pageview(visitor=1), pageview(id=event_id(2), visitor=2, attempt=1)])
    again = pageview(id=event_id(3), visitor=3, source=Source.IMPORT, time=old, attempt=1)
    await append(redis, 0, [pageview(id=event_id(1), visitor=1), again, rating(2, voter=1)])
    await append(redis, 0, [pageview(visitor=4), pageview(visitor=2, member=True)])


async def until_right(redis: "Redis", store: ClickHouse) -> None:
    """Wait until all of it is counted: exactly once."""
    await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.rejected, delivery.dead) == (8, {"duplicate": 3}, 0)
    visits = await store.query("SELECT source, visitor, countIf(visit = 1) FROM events GROUP BY ALL ORDER BY ALL")
    assert [tuple(row) for row in visits] == [("live", 1, 1), ("live", 2, 1), ("live", 4, 1), ("import", 3, 1)]
    assert (await shown(redis, HANOI))["online"] == {"total": 3, "guests": 2, "members": 1, "bots": 0}
    assert await redis.hgetall("{0}:votes:hanoi") == {b"0000000000000001:/tin-tuc/bai-viet": b"2"}
    assert await differences(redis, store) == []


async def test_a_batch_that_is_computed_before_the_one_before_it_is_applied_knows_of_it(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)
    await accept(redis)
    async with counting(settings(redis_server.url, dsn)):
        await until_right(redis, migrated)
        assert await redis.get("{0}:epoch") == b"1"
    assert len(stage.applied) == 3


@pytest.mark.parametrize("written", [False, True])
async def test_two_batches_that_were_left_pending_are_counted_in_their_order(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    written: bool,
) -> None:
    """The first is inserted and not applied, or only handed over."""
    left: list[dict[str, int]] = []

    async def fails() -> None:
        left.append(await pending_consumers(redis, 0))
        raise RedisConnectionError

    async def fails_to_write(*_: Any) -> None:
        await stage.second_computed()
        monkeypatch.setattr(consume, "write_once", write_once)
        await fails()

    stage = Stage(monkeypatch, *([fails] if written else []))
    if not written:
        monkeypatch.setattr(consume, "write_once", fails_to_write)
    await accept(redis)
    async with counting(settings(redis_server.url, dsn)):
        await until_right(redis, migrated)
        assert await redis.get("{0}:epoch") == b"2"
    assert left == [{"counter-1": 2, "counter-1-behind": 2}]
    assert stage.applied[:2] == stage.computed[:2]


async def test_a_counter_that_lost_its_shard_with_two_batches_changes_nothing_any_more(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def another_counts_all() -> None:
        async with counting(settings(redis_server.url, dsn), alone=True):
            await until_right(redis, migrated)

    stage = Stage(monkeypatch, another_counts_all)
    await accept(redis)
    async with counting(settings(redis_server.url, dsn)):

        async def fenced() -> bool:
            return await redis.get("{0}:epoch") == b"3"

        await until(fenced, "the first counter has noticed and the shard again")
        await until_right(redis, migrated)
    assert stage.applied[:2] == stage.computed[:2]


async def test_a_batch_is_handed_over_whole_and_only_by_who_has_the_shard(redis: Redis) -> None:
    await ensure_group(redis, 0)
    for _ in range(2):
        await append(redis, 0, [pageview()])
    batch = await read(redis, "counter-1")
    lease = Lease(redis, 0)
    former, now = await lease.acquire(), await lease.acquire(force=True)
    assert former
    assert now
    with pytest.raises(FencedError):
        await hand_over(redis, former, "counter-1-behind", batch)
    assert await pending_consumers(redis, 0) == {"counter-1": 2}
    await hand_over(redis, now, "counter-1-behind", batch)
    assert await pending_consumers(redis, 0) == {"counter-1": 0, "counter-1-behind": 2}
    await redis.xack(events_key(0), GROUP, str(batch.entries[0].id))
    with pytest.raises(LostReadError, match="1 of 2 entries are pending"):
        await hand_over(redis, now, "counter-1", batch)
