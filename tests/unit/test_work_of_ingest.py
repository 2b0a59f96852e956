"""What an event costs ingest in work that can be counted: calls, Redis commands, bytes. Time is the bench's."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any, Self
from uuid import UUID, uuid4

import uvloop

from services.ingest.collect import Addresses, Collect
from services.ingest.pipeline import Pipeline, RateLimit
from services.ingest.publish import Publisher
from shared.http import Server
from shared.sites import Site, Sites
from tests.bench.traffic import HOST, body, page_views
from tests.support.batches import NOW

SITES = Sites([Site(id="portal", hostnames=[HOST])], shards=1)
AT_ONCE = 250
SINGLE_CALLS = 115
"""Calls of functions per request of one event, from granian's call to the answer."""
ARRAY_CALLS = 11
"""Calls per event of a large array."""
EVENT_BYTES = 240
"""On the stream, for an event of the real log with a title."""


class Headers(dict[str, str]):
    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


class Scope:
    method, path, query_string, client = "POST", "/v1/events", "", "127.0.0.1:5000"

    def __init__(self, agent: str, length: int, address: str) -> None:
        said = {"origin": f"https://{HOST}", "content-length": str(length), "user-agent": agent}
        self.headers = Headers({**said, "x-forwarded-for": address})


class Proto:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.status = 0

    async def __call__(self) -> bytes:
        return self._content

    def response_bytes(self, status: int, _headers: object, _body: bytes) -> None:
        self.status = status


class CountingRedis:
    """Takes what a client of Redis is told, and counts it."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.trips = 0
        self.bytes = 0

    def pipeline(self, *, transaction: bool) -> Self:
        assert transaction
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def xadd(self, _key: str, fields: dict[str, Any]) -> None:
        self.commands.append("XADD")
        self.bytes += len(fields["events"])

    def hincrby(self, *_: object) -> None:
        self.commands.append("HINCRBY")

    async def execute(self) -> list[object]:
        self.trips += 1
        await asyncio.sleep(0)
        return [*(b"5-0" for command in self.commands if command == "XADD"), 1]


def requests(per_request: int) -> list[tuple[Scope, Proto]]:
    views = page_views()
    made = []
    for number, start in enumerate(range(0, len(views) - per_request + 1, per_request)):
        part = views[start : start + per_request]
        events = [body(view, "portal", str(uuid4()), f"{view.visitor:016x}") for view in part]
        content = json.dumps(events).encode()
        made.append((Scope(part[0].agent, len(content), f"10.1.{number // 250}.{number % 250}"), Proto(content)))
    return made


async def answered(redis: Any, sent: Sequence[tuple[Scope, Proto]], around: Callable[[bool], None]) -> None:
    """All requests, AT_ONCE at once, answered by ingest but for its Redis. around: called before and after."""
    publishers = [Publisher(redis, 0)]
    collect = Collect(
        pipeline=Pipeline(SITES, RateLimit(600), lambda _: b"salt"),
        publishers=publishers,
        sites=SITES,
        addresses=Addresses("127.0.0.1"),
        max_body_bytes=1 << 20,
        now_ms=lambda: NOW,
        new_id=lambda: UUID(int=0),
    )
    server: Any = Server(collect.routes, cold=None)  # type: ignore[arg-type]
    around(True)
    for start in range(0, len(sent), AT_ONCE):
        await asyncio.gather(*(server.__rsgi__(scope, proto) for scope, proto in sent[start : start + AT_ONCE]))
    around(False)
    await publishers[0].stop()
    assert all(proto.status == 202 for _, proto in sent)


def run(work: Coroutine[Any, Any, None]) -> None:
    """In the event loop that ingest runs in."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def calls(sent: Sequence[tuple[Scope, Proto]]) -> int:
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


def test_requests_that_come_at_once_share_the_commands_and_the_way_to_redis() -> None:
    redis = CountingRedis()
    run(answered(redis, requests(1)[:AT_ONCE], lambda _: None))
    assert (redis.commands, redis.trips) == (["XADD", "HINCRBY"], 1)


def test_a_large_commit_is_one_transaction_of_several_entries() -> None:
    redis = CountingRedis()
    run(answered(redis, requests(100)[:20], lambda _: None))
    assert (redis.commands, redis.trips) == (["XADD"] * 4 + ["HINCRBY"], 1)


def test_an_event_takes_few_bytes_on_the_stream() -> None:
    redis = CountingRedis()
    sent = requests(1)
    run(answered(redis, sent, lambda _: None))
    assert redis.bytes / len(sent) <= EVENT_BYTES
