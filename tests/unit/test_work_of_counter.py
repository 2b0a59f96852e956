"""What an event costs the counter in work that can be counted: calls, Redis commands, bytes. Time is the bench's."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import Any, NamedTuple

import msgspec
import pytest

from services.counter.agents import recognise
from services.counter.batch import Batch
from services.counter.consume import BatchCounter
from services.counter.resent import RecentIds
from services.counter.store import PatientStore
from tests.bench.backlog import SITES, Part
from tests.support.batches import ACCEPTED

EVENTS = 5_000
ENTRIES = 50
"""The batch has fewer entries."""
CALLS = 21
"""Calls of functions, of Python or C, per event of a batch."""
COMMANDS = 0.8
"""Redis commands per event that the scripts run. A page with its reader takes three; events share pages and readers."""
WORDS = 5.5
"""Words of these commands per event."""
BYTES = 96
"""On the way to Redis per event."""


class CountingRedis:
    """Answers scripts as a Redis that knows nobody would, and counts what they are given."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.trips = 0
        self.bytes = 0
        self.commands: list[Sequence[Any]] = []

    async def eval(self, _script: str, keys: int, *words: Any) -> Any:
        self.trips += 1
        self.bytes += sum(len(word) for word in words if isinstance(word, bytes | str))
        # Commands that did not come packed would be words of their own, and far too many.
        assert len(words) <= keys + 3 + ENTRIES
        if keys == 1:
            asked = unpacked(words[keys + 1])
            self.commands += asked
            return msgspec.msgpack.encode([[False] * (len(command) - 2) for command in asked])
        self.commands += unpacked(words[keys + 2])
        return ENTRIES


def unpacked(word: bytes) -> list[Sequence[Any]]:
    """The commands of a word, as run.lua finds them."""
    lengths, words = msgspec.msgpack.decode(word)
    following = iter(words)
    return [list(islice(following, length)) for length in lengths]


class CountingStore:
    """Counts its INSERTs and takes nothing else."""

    def __init__(self) -> None:
        self.inserted: list[tuple[str, int]] = []

    async def insert(self, table: str, columns: Mapping[str, Sequence[Any]], _settings: Mapping[str, Any]) -> None:
        lengths = set(map(len, columns.values()))
        self.inserted += [(table, length) for length in lengths]


async def unguarded() -> None:
    pass


def counter(redis: Any, store: Any) -> BatchCounter:
    patient = PatientStore(store, 0)
    recent = RecentIds()
    return BatchCounter(redis, patient, SITES, ceiling=0, epoch=1, recent=recent, expired={}, guard=unguarded)


class Counted(NamedTuple):
    """What counting a batch came to. calls: of functions, once everything had been seen before."""

    redis: CountingRedis
    store: CountingStore
    calls: int


@pytest.fixture(scope="module")
def counted() -> Counted:
    """A batch of a backlog, counted in the minute of another one."""
    before, batch = (Batch(0, list(Part(part, EVENTS, EVENTS, ACCEPTED + part).entries())) for part in range(2))
    redis, store = CountingRedis(), CountingStore()
    counting = counter(redis, store)
    asyncio.run(counting.count(before))
    redis.forget()
    store.inserted.clear()
    with counting_calls() as calls:
        asyncio.run(counting.count(batch))
    return Counted(redis, store, calls.total())


@contextmanager
def counting_calls() -> Iterator[Counter[str]]:
    """The functions, of Python or C, that are called meanwhile, by name."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1
        elif event == "c_call":
            calls[argument.__name__] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_a_batch_goes_to_redis_twice_and_to_the_store_once(counted: Counted) -> None:
    assert counted.redis.trips == 2
    ((table, rows),) = counted.store.inserted
    assert table == "events"
    assert 0.8 < rows / EVENTS < 1


def test_an_event_is_few_commands_and_few_bytes_for_redis(counted: Counted) -> None:
    commands = counted.redis.commands
    assert len(commands) / EVENTS <= COMMANDS
    assert sum(map(len, commands)) / EVENTS <= WORDS
    assert counted.redis.bytes / EVENTS <= BYTES


def test_an_event_calls_few_functions(counted: Counted) -> None:
    assert counted.calls / EVENTS <= CALLS


def test_a_bot_that_is_new_has_no_pattern_compiled_again() -> None:
    recognise("Mozilla/5.0 (compatible; Googlebot/2.1)")
    with counting_calls() as calls:
        recognise("Mozilla/5.0 (compatible; Googlebot/2.2)")
    assert "search" in calls
    assert "compile" not in calls
