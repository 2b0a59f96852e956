"""Ingest while Redis cannot take events: 503 within a bounded time, and what got 202 is there afterwards."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis

import shared.redis
from services.ingest.publish import MAX_WAITING, Done, Publisher
from shared.delivery import read_delivery
from shared.errors import SetupError
from shared.events import MAX_EVENTS
from shared.streams import Packed
from tests.support.ingest import URL, ingest_client, ping, raw, stored, view
from tests.support.servers import RedisServer, free_port

SECONDS = 1.0
"""How long a client may have to wait for a 503."""
SLACK = 0.5
"""What a busy machine may add to it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be broken."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    async with ingest_client(server.url) as client:
        yield client


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    redis = shared.redis.client(server.url)
    try:
        yield redis
    finally:
        await redis.aclose()


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """Redis does nothing meanwhile, but its connections stay open."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def refused(client: httpx.AsyncClient, number: int = 20) -> list[dict[str, Any]]:
    """Send events at the same time, and one after them: all get 503 in time. Returns the events."""
    events = [view() for _ in range(number)]
    started = time.monotonic()
    answers = await asyncio.gather(*(client.post("/v1/events", json=event) for event in events))
    assert time.monotonic() - started < SECONDS + SLACK
    events.append(view())
    started = time.monotonic()
    answers.append(await client.post("/v1/events", json=events[-1]))
    assert time.monotonic() - started < SECONDS + SLACK
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    return events


async def accepted(client: httpx.AsyncClient) -> bytes:
    """Send an event that is accepted; returns its id."""
    event = view()
    answer = await client.post("/v1/events", json=event)
    assert answer.status_code == 202, answer.text
    return UUID(event["id"]).bytes


async def not_ready(client: httpx.AsyncClient) -> str:
    """What keeps ingest from being ready, in one line."""
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    said = str(answer.json()["checks"]["ingest"])
    assert "\n" not in said
    return said


async def test_redis_is_killed_and_comes_back(client: httpx.AsyncClient, redis: Redis, server: RedisServer) -> None:
    before = [await accepted(client) for _ in range(3)]
    server.kill()
    await refused(client)
    pixel = await client.get("/v1/pixel.gif", params={"site": "portal", "url": URL})
    assert (pixel.status_code, pixel.headers["retry-after"]) == (503, "2")
    assert "Redis takes no write" in await not_ready(client)
    server.start()
    after = await accepted(client)
    assert [event.id for event in await stored(redis)] == [*before, after]
    assert (await client.get("/health/ready")).status_code == 200


async def test_redis_stops_and_goes_on(client: httpx.AsyncClient, redis: Redis, server: RedisServer) -> None:
    before = await accepted(client)
    with stopped(server):
        unsure = await refused(client)
        started = time.monotonic()
        assert "Redis takes no write" in await not_ready(client)
        assert time.monotonic() - started < SECONDS + SLACK
    after = await accepted(client)
    ids = [event.id for event in await stored(redis)]
    assert {before, after} <= set(ids) <= {before, after, *(UUID(event["id"]).bytes for event in unsure)}
    assert len(set(ids)) == len(ids)
    assert (await read_delivery(redis, 0)).balanced


async def test_a_request_that_comes_late_waits_no_longer(client: httpx.AsyncClient, server: RedisServer) -> None:
    with stopped(server):
        first = asyncio.create_task(client.post("/v1/events", json=view()))
        await asyncio.sleep(0.4)
        await refused(client, 5)
        assert (await first).status_code == 503


async def test_memory_is_bounded_in_a_flood(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    publishers: set[Publisher] = set()
    took: list[float] = []

    def publish(self: Publisher, events: Packed, done: Done) -> None:
        real_publish(self, events, done)
        held.append(self.events_waiting)
        publishers.add(self)

    real_publish = Publisher.publish
    monkeypatch.setattr(Publisher, "publish", publish)
    body = json.dumps([ping()] * MAX_EVENTS)
    request = f"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n{body}"

    async def send() -> None:
        started = time.monotonic()
        answer = await raw(client, request)
        took.append(time.monotonic() - started)
        assert answer.startswith(b"HTTP/1.1 503 "), answer

    wave = MAX_WAITING // MAX_EVENTS + 5
    async with ingest_client(server.url, rate_limit=0) as client:
        with stopped(server):
            for _ in range(3):
                await asyncio.gather(*(send() for _ in range(wave)))
        assert max(took) < SECONDS + SLACK
        assert len(held) == 3 * wave
        assert max(held) == MAX_WAITING
        assert [publisher.events_waiting for publisher in publishers] == [0]
        await accepted(client)


async def test_redis_has_no_memory_left(client: httpx.AsyncClient, redis: Redis) -> None:
    before = await accepted(client)
    await redis.set("filler", b"x" * 2_000_000)
    await redis.config_set("maxmemory", "1mb")
    await refused(client)
    assert "no write: command not allowed when used memory > 'maxmemory'" in await not_ready(client)
    await redis.config_set("maxmemory", "0")
    assert (await client.get("/health/ready")).status_code == 200
    after = await accepted(client)
    assert [event.id for event in await stored(redis)] == [before, after]
    assert (await read_delivery(redis, 0)).accepted == 2


async def test_redis_has_become_a_replica(client: httpx.AsyncClient, redis: Redis) -> None:
    before = await accepted(client)
    await redis.replicaof("127.0.0.1", free_port())
    await refused(client)
    assert "no write: You can't write against a read only replica" in await not_ready(client)
    await redis.replicaof("NO", "ONE")
    assert (await client.get("/health/ready")).status_code == 200
    after = await accepted(client)
    assert [event.id for event in await stored(redis)] == [before, after]


async def test_a_start_before_the_days_salt_can_be_written(redis: Redis, server: RedisServer) -> None:
    """A visitor without an id of the tracker waits for the salt: there is no other way to know them again."""
    await redis.config_set("maxmemory", "1")
    async with ingest_client(server.url) as client:
        await refused(client, 1)
        await redis.config_set("maxmemory", "0")
        async with asyncio.timeout(5):
            while (await client.post("/v1/events", json=view())).status_code == 503:
                await asyncio.sleep(0.05)
        assert len(await stored(redis)) == 1


async def test_a_start_without_redis_says_what_to_do() -> None:
    with pytest.raises(SetupError, match=r"No Redis answers at redis://127.*TRUYCAP_REDIS_URL"):
        async with ingest_client(f"redis://127.0.0.1:{free_port()}/0"):
            pass
