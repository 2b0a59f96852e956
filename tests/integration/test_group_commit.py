"""Ingest's group commit, with a real Redis: who shares an entry, and who waits for whom."""

import asyncio
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis

from services.ingest import publish
from services.ingest.app import Ingest
from services.ingest.errors import UnavailableError
from services.ingest.publish import Publisher
from shared.sites import Sites
from shared.streams import MAX_ENTRY_EVENTS, EntryId, delivery_key, packed
from tests.support.counting import pageview, settings
from tests.support.ingest import PORTAL, SITES, Gate, entries, ping, said, stored, view
from tests.support.servers import RedisServer

ORIGIN = f"https://{PORTAL}"


class TestGroupCommit:
    async def test_requests_at_the_same_time_share_entries(
        self, client: httpx.AsyncClient, redis: Redis, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "COMMIT_SECONDS", 30.0)  # to open 50 connections can take a while
        first = asyncio.create_task(client.post("/v1/events", json=ping()))
        await gate.reached.wait()
        events = [view() for _ in range(50)]
        others = [asyncio.create_task(client.post("/v1/events", json=event)) for event in events]
        await asyncio.sleep(0.2)
        gate.open.set()
        answers = await asyncio.gather(first, *others)
        assert {answer.status_code for answer in answers} == {202}
        groups = await entries(redis)
        assert len(groups) <= 10
        ids = [event.id for group in groups for event in group if event.id]
        assert sorted(ids) == sorted(UUID(event["id"]).bytes for event in events)
        assert await redis.hget(delivery_key(0), "accepted") == b"51"

    async def test_order_is_kept_and_an_entry_stays_bounded(self, redis: Redis) -> None:
        publisher = Publisher(redis, 0)
        requests = [[pageview(visitor=3 * number + part) for part in range(3)] for number in range(800)]
        for request in requests:
            publisher.publish(packed(request), lambda error: None)
        await publisher.stop()
        groups = await entries(redis)
        assert [event.visitor for group in groups for event in group] == list(range(2400))
        assert max(map(len, groups)) <= MAX_ENTRY_EVENTS
        assert len(groups) <= 6

    async def test_what_is_under_way_and_what_waits_is_finished_before_the_end(self, redis: Redis) -> None:
        publisher = Publisher(redis, 0)
        answers: list[UnavailableError | None] = []
        publisher.publish(packed([pageview()]), answers.append)
        await asyncio.sleep(0)
        publisher.publish(packed([pageview()]), answers.append)
        await publisher.stop()
        assert answers == [None, None]
        assert len(await stored(redis)) == 2

    async def test_a_mistake_that_ends_it_ends_ingest(self, redis_server: RedisServer, redis: Redis) -> None:
        def mistaken(_: UnavailableError | None) -> None:
            raise ZeroDivisionError

        ingest = Ingest(settings(redis_server.url, ""), Sites(SITES, 1))
        try:
            await ingest.start()
            ingest._publishers[0].publish(packed([pageview()]), mistaken)
            with pytest.raises(ZeroDivisionError):
                async with asyncio.timeout(10):
                    await ingest.failed()
        finally:
            await ingest.stop()
        assert len(await stored(redis)) == 1

    async def test_a_client_that_goes_away_keeps_nobody_waiting(self, client: httpx.AsyncClient, gate: Gate) -> None:
        gone = asyncio.create_task(client.post("/v1/events", json=view()))
        await gate.reached.wait()
        stays = asyncio.create_task(client.post("/v1/events", json=view()))
        gone.cancel()
        await asyncio.sleep(0.05)
        gate.open.set()
        assert (await stays).status_code == 202

    async def test_memory_is_bounded_while_redis_is_slow(
        self, client: httpx.AsyncClient, redis: Redis, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "MAX_WAITING", 10)
        waiting = [asyncio.create_task(client.post("/v1/events", json=[ping()] * 5)) for _ in range(2)]
        await gate.reached.wait()
        await asyncio.sleep(0.1)
        answer = await client.post("/v1/events", json=ping())
        assert "Too many" in said(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        gate.open.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {202}
        assert (await client.post("/v1/events", json=ping())).status_code == 202
        assert len(await stored(redis)) == 11

    async def test_an_error_that_nobody_foresaw_is_answered_and_passes(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def append(*_: object) -> EntryId:
            raise RuntimeError("a defect of a library")

        with monkeypatch.context() as patch:
            patch.setattr(publish, "append_packed", append)
            said(await client.post("/v1/events", json=view()), 503, "unavailable")
        assert (await client.post("/v1/events", json=view())).status_code == 202
