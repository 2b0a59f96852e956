"""What an event costs ingest in work that can be counted: calls, Redis commands, bytes. Time is the bench's."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvloop

from services.ingest import publish
from services.ingest.collect import Addresses, Collect
from services.ingest.pipeline import Pipeline, RateLimit
from services.ingest.publish import Publisher
from shared.connection import Connection
from shared.server import Server
from shared.sites import Site, Sites
from tests.bench.requests import NO_ID, posts
from tests.bench.traffic import HOST
from tests.support.batches import NOW
from tests.support.transport import Transport

SITES = Sites([Site(id="portal", hostnames=[HOST])], shards=1)
AT_ONCE = 250
SINGLE_CALLS = 90
"""Calls of functions per request of one event, from the bytes to the answer."""
ARRAY_CALLS = 7
"""Calls per event of a large array."""
ENTRY_WORDS, BESIDE_WORDS = 6, 4
"""What Redis is told of an entry, and beside the entries of a commit."""
EVENT_BYTES = 240
"""On the stream, for an event of the real log with a title."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a second costs no work: nobody is told to send again."""
    monkeypatch.setattr(publish, "COMMIT_SECONDS", 60.0)


class CountingRedis:
    """Takes what a client of Redis is told, and counts it: round trips, words beside the script, bytes."""

    def __init__(self) -> None:
        self.trips = 0
        self.words = 0
        self.bytes = 0

    async def eval(self, _script: str, _keys: int, *words: Any) -> bytes:
        self.trips += 1
        self.words += len(words)
        self.bytes += sum(len(word) for word in words if isinstance(word, bytes))
        await asyncio.sleep(0)
        return b"5-0"


def requests(per_request: int) -> list[bytes]:
    """Requests as a browser sends them, each from an address of its own."""
    made = []
    for number, request in enumerate(posts(["portal"], per_request)):
        text = request.text.replace("100.100.100", f"1.{number // 250}.{number % 250}")
        while NO_ID in text:
            text = text.replace(NO_ID, str(uuid4()), 1)
        made.append(text.encode())
    return made


async def answered(redis: Any, sent: Sequence[bytes], around: Callable[[bool], None]) -> None:
    """All requests, AT_ONCE at once, answered by ingest but for its Redis. around: called before and after."""
    publishers = [Publisher(redis, 0)]
    collect = Collect(
        pipeline=Pipeline(SITES, RateLimit(600), lambda _: b"salt"),
        publishers=publishers,
        sites=SITES,
        addresses=Addresses("192.0.2.1"),
        max_body_bytes=1 << 20,
        now_ms=lambda: NOW,
        new_id=lambda: UUID(int=0),
    )
    server = Server(collect.routes, cold=None)  # type: ignore[arg-type]
    clients = [Transport() for _ in range(AT_ONCE)]
    connections = [Connection(server) for _ in clients]
    for connection, client in zip(connections, clients, strict=True):
        connection.connection_made(client)
    around(True)
    for start in range(0, len(sent), AT_ONCE):
        for connection, request in zip(connections, sent[start : start + AT_ONCE], strict=False):
            connection.data_received(request)
        await asyncio.sleep(0)
        while publishers[0].events_waiting:
            await asyncio.sleep(0)
    around(False)
    await publishers[0].stop()
    assert sum(client.written.count(b"HTTP/1.1 202 Accepted\r\n") for client in clients) == len(sent)


def run(work: Coroutine[Any, Any, None]) -> None:
    """In the event loop that ingest runs in."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def calls(sent: Sequence[bytes]) -> int:
    """How many functions, of Python or C, are called until all is answered, once everything has been seen before."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    def around(begins: bool) -> None:
        sys.setprofile(count if begins else None)

    run(answered(CountingRedis(), sent, lambda _: None))
    run(answered(CountingRedis(), sent, around))
    return counted


def test_a_request_of_one_event_calls_few_functions() -> None:
    sent = requests(1)
    assert calls(sent) / len(sent) <= SINGLE_CALLS


def test_an_event_of_an_array_calls_few_functions() -> None:
    sent = requests(100)
    assert calls(sent) / (len(sent) * 100) <= ARRAY_CALLS


def test_requests_that_come_at_once_share_one_command_of_redis() -> None:
    redis = CountingRedis()
    run(answered(redis, requests(1)[:AT_ONCE], lambda _: None))
    assert (redis.trips, redis.words) == (1, BESIDE_WORDS + ENTRY_WORDS)


def test_a_large_commit_is_one_command_of_several_entries() -> None:
    redis = CountingRedis()
    run(answered(redis, requests(100)[:20], lambda _: None))
    assert (redis.trips, redis.words) == (1, BESIDE_WORDS + 4 * ENTRY_WORDS)


def test_an_event_takes_few_bytes_on_the_stream() -> None:
    redis = CountingRedis()
    sent = requests(1)
    run(answered(redis, sent, lambda _: None))
    assert redis.bytes / len(sent) <= EVENT_BYTES
