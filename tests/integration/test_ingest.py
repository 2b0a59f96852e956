"""Ingest behind the real HTTP server, with a real Redis: every answer of the contract."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from redis.asyncio import Redis

from services.ingest.collect import PIXEL, UNREADABLE_AGENT
from shared.clock import wall_clock_ms
from shared.events import Kind, StreamEvent
from shared.streams import delivery_key, events_key
from tests.support.counting import GOOGLEBOT, PERSON
from tests.support.ingest import PORTAL, URL, Gate, entries, ingest_client, ping, raw, said, stored, view
from tests.support.servers import RedisServer

ORIGIN = f"https://{PORTAL}"


class TestAccepting:
    async def test_one_event_is_on_the_stream_and_counted_when_the_answer_comes(
        self, client: httpx.AsyncClient, redis: Redis
    ) -> None:
        event = view(title="Tiêu đề")
        answer = await client.post("/v1/events", json=event)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
        assert answer.headers["content-type"] == "application/json"
        (found,) = await stored(redis)
        assert (found.kind, found.site, found.id) == (Kind.PAGEVIEW, "portal", UUID(event["id"]).bytes)
        assert (found.item, found.title, found.agent) == ("/tin-tuc/", "Tiêu đề", PERSON)
        assert await redis.hget(delivery_key(0), "accepted") == b"1"

    async def test_there_is_no_answer_before_redis_has_answered(self, client: httpx.AsyncClient, gate: Gate) -> None:
        waiting = asyncio.create_task(client.post("/v1/events", json=view()))
        await gate.reached.wait()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        gate.open.set()
        assert (await waiting).status_code == 202

    async def test_an_array_is_one_entry_in_its_order(self, client: httpx.AsyncClient, redis: Redis) -> None:
        events = [view(visitor=str(number)) for number in range(500)]
        answer = await client.post("/v1/events", json=events)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 500})
        (entry,) = await entries(redis)
        assert [event.id for event in entry] == [UUID(event["id"]).bytes for event in events]
        assert await redis.hget(delivery_key(0), "accepted") == b"500"

    @pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "application/json", "", "application/octet-stream"])
    async def test_the_content_type_does_not_matter(self, client: httpx.AsyncClient, redis: Redis, kind: str) -> None:
        """sendBeacon sends text/plain, for anything else would be asked for first."""
        headers = {"content-type": kind, "origin": ORIGIN, "cookie": "session=1"}
        answer = await client.post("/v1/events", content=json.dumps([view(), ping()]), headers=headers)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
        assert [event.kind for event in await stored(redis)] == [Kind.PAGEVIEW, Kind.PING]

    async def test_a_chunked_body_is_read_whole(self, client: httpx.AsyncClient, redis: Redis) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for byte in json.dumps(view()).encode():
                yield bytes([byte])

        assert (await client.post("/v1/events", content=chunks())).status_code == 202
        assert len(await stored(redis)) == 1

    async def test_events_go_to_the_shards_of_their_sites(self, redis: Redis, redis_server: RedisServer) -> None:
        async with ingest_client(redis_server.url, shards=2) as client:
            events = [view(), view("baotin"), view()]
            assert (await client.post("/v1/events", json=events)).json() == {"accepted": 3}
        sites = [[event.site for event in await stored(redis, shard)] for shard in range(2)]
        assert sites == [["portal", "portal"], ["baotin"]]


class TestCORS:
    async def test_any_page_may_read_the_answer(self, client: httpx.AsyncClient) -> None:
        for origin, status in ((ORIGIN, 202), ("https://evil.example", 403), ("null", 202)):
            answer = await client.post("/v1/events", json=view(), headers={"origin": origin})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"] == "origin"

    async def test_nothing_is_said_of_it_where_no_origin_is(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/events", json=view())
        assert [name for name in answer.headers if name.startswith("access-control")] == []

    async def test_a_preflight_allows_json(self, client: httpx.AsyncClient) -> None:
        asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
        answer = await client.options("/v1/events", headers={**asked, "access-control-request-headers": "content-type"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert answer.headers["access-control-allow-headers"] == "content-type"


class TestRefusing:
    @pytest.mark.parametrize(
        ("body", "refusal", "why"),
        [
            ("", (400, "not_json"), "not JSON"),
            ("{", (400, "not_json"), "not JSON"),
            (json.dumps(view(url="https://evil.example/")), (403, "origin_not_allowed"), "url: 'evil.example'"),
            (json.dumps(view("nowhere")), (404, "unknown_site"), "'nowhere'"),
            (json.dumps([ping()] * 501), (413, "too_large"), "at most 500"),
            (json.dumps([view(), view(id="x")]), (422, "invalid"), "[1].id: invalid UUID"),
            ("[]", (422, "invalid"), "empty"),
            ("[" * 300_000, (422, "invalid"), "[0]: expected `object`"),
        ],
    )
    async def test_says_why_and_puts_nothing_on_the_stream(
        self, client: httpx.AsyncClient, redis: Redis, body: str, refusal: tuple[int, str], why: str
    ) -> None:
        answer = await client.post("/v1/events", content=body, headers={"origin": ORIGIN})
        assert why in said(answer, *refusal)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert await stored(redis) == []

    async def test_a_foreign_origin(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/events", json=view(), headers={"origin": "https://evil.example"})
        assert "'evil.example'" in said(answer, 403, "origin_not_allowed")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    async def test_another_method(self, client: httpx.AsyncClient, method: str) -> None:
        answer = await client.request(method, "/v1/events")
        said(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST, OPTIONS"

    async def test_a_body_that_says_it_is_too_large(self, redis: Redis, redis_server: RedisServer) -> None:
        async with ingest_client(redis_server.url, max_body_bytes=1024) as client:
            fitting = json.dumps(view()).ljust(1024)
            assert (await client.post("/v1/events", content=fitting)).status_code == 202
            answer = await client.post("/v1/events", content=fitting + " ")
            assert "1024 bytes" in said(answer, 413, "too_large")

    async def test_a_body_that_is_too_large_is_not_waited_for(self, client: httpx.AsyncClient) -> None:
        head = "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999999\r\n\r\n["
        assert b" 413 " in await raw(client, head)

    async def test_a_body_that_grows_too_large(self, redis: Redis, redis_server: RedisServer) -> None:
        async def chunks(number: int) -> AsyncIterator[bytes]:
            for _ in range(number):
                yield b" " * 300
            yield b"{}"

        async with ingest_client(redis_server.url, max_body_bytes=1024) as client:
            said(await client.post("/v1/events", content=chunks(3)), 422, "invalid")
            answer = await client.post("/v1/events", content=chunks(4))
            assert "1024 bytes" in said(answer, 413, "too_large")

    async def test_too_many_events_from_one_address(self, redis: Redis, redis_server: RedisServer) -> None:
        now = wall_clock_ms()
        async with ingest_client(redis_server.url, now_ms=lambda: now, rate_limit=3) as client:
            assert (await client.post("/v1/events", json=[ping()] * 3)).status_code == 202
            answer = await client.post("/v1/events", json=ping())
            said(answer, 429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert (await client.post("/v1/events", json=ping(), headers={"x-forwarded-for": "192.0.2.1"})).is_success


class TestThePixel:
    @pytest.mark.parametrize(
        ("params", "referer", "item"),
        [
            ({"url": URL}, "", "/tin-tuc/"),
            ({}, URL, "/tin-tuc/"),
            ({"url": ""}, URL, "/tin-tuc/"),
            ({"url": f"{ORIGIN}/tiếng-việt?x=1"}, URL, "/ti%E1%BA%BFng-vi%E1%BB%87t"),
        ],
    )
    async def test_counts_a_page_view(
        self, client: httpx.AsyncClient, redis: Redis, params: dict[str, str], referer: str, item: str
    ) -> None:
        answer = await client.get("/v1/pixel.gif", params={"site": "portal", **params}, headers={"referer": referer})
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/gif", PIXEL)
        assert answer.headers["cache-control"] == "no-store"
        (event,) = await stored(redis)
        assert (event.kind, event.item, len(event.id), event.agent) == (Kind.PAGEVIEW, item, 16, PERSON)

    async def test_reads_an_address_that_is_not_encoded(self, client: httpx.AsyncClient, redis: Redis) -> None:
        target = f"/v1/pixel.gif?site=portal&url={ORIGIN}/tiếng"
        assert b" 200 OK" in await raw(client, f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")
        assert [event.item for event in await stored(redis)] == ["/ti%E1%BA%BFng"]

    async def test_gives_every_view_an_id_of_its_own(self, client: httpx.AsyncClient, redis: Redis) -> None:
        for _ in range(2):
            await client.get("/v1/pixel.gif", params={"site": "portal", "url": URL}, headers={"user-agent": GOOGLEBOT})
        first, second = await stored(redis)
        assert first.id != second.id
        assert first.visitor == second.visitor

    @pytest.mark.parametrize(
        ("params", "referer", "refusal"),
        [
            ({}, URL, (422, "invalid")),
            ({"site": "portal"}, "", (422, "invalid")),
            ({"site": "portal", "url": URL + "x" * 32_768}, "", (422, "invalid")),
            ({"site": "nowhere", "url": URL}, "", (404, "unknown_site")),
            ({"site": "portal", "url": "https://evil.example/"}, "", (403, "origin_not_allowed")),
            ({"site": "portal", "url": URL}, "https://evil.example/", (403, "origin_not_allowed")),
        ],
    )
    async def test_says_what_is_wrong(
        self, client: httpx.AsyncClient, redis: Redis, params: dict[str, str], referer: str, refusal: tuple[int, str]
    ) -> None:
        said(await client.get("/v1/pixel.gif", params=params, headers={"referer": referer}), *refusal)
        assert await stored(redis) == []

    async def test_is_got_and_nothing_else(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/pixel.gif", params={"site": "portal", "url": URL})
        said(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET"


class TestVisitors:
    async def visitor(self, client: httpx.AsyncClient, redis: Redis, **headers: Any) -> StreamEvent:
        assert (await client.post("/v1/events", json=view(), headers=headers)).status_code == 202
        return (await stored(redis))[-1]

    async def test_are_the_same_for_every_ingest_on_a_redis(self, redis: Redis, redis_server: RedisServer) -> None:
        async with ingest_client(redis_server.url) as first, ingest_client(redis_server.url) as second:
            one, other = await self.visitor(first, redis), await self.visitor(second, redis)
        assert one.visitor == other.visitor

    async def test_are_others_under_another_salt(self, redis: Redis, redis_server: RedisServer) -> None:
        async with ingest_client(redis_server.url) as client:
            before = await self.visitor(client, redis)
        await redis.delete(*await redis.keys("salt:*"))
        async with ingest_client(redis_server.url) as client:
            after = await self.visitor(client, redis)
        assert before.visitor != after.visitor

    async def test_salts_are_forgotten_when_their_day_is_over(self, client: httpx.AsyncClient, redis: Redis) -> None:
        lifetimes = sorted([await redis.ttl(key) for key in await redis.keys("salt:*")])
        assert len(lifetimes) == 2
        assert 0 <= lifetimes[0] <= 86_400 < lifetimes[1] <= 2 * 86_400

    async def test_have_their_forwarded_address_from_trusted_proxies_alone(
        self, redis: Redis, redis_server: RedisServer
    ) -> None:
        american = {"x-forwarded-for": "8.8.8.8"}
        for trusted, country in (("127.0.0.1", "US"), ("10.0.0.0/8", ""), ("", "")):
            async with ingest_client(redis_server.url, trusted_proxies=trusted) as client:
                assert (await self.visitor(client, redis, **american)).country == country

    async def test_cannot_put_a_line_before_the_one_that_the_proxy_appends(
        self, client: httpx.AsyncClient, redis: Redis
    ) -> None:
        lines = [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-for", "192.0.2.1")]
        assert (await client.post("/v1/events", json=view(), headers=lines)).status_code == 202
        assert [event.country for event in await stored(redis)] == [""]

    async def test_leave_no_address_in_redis(self, client: httpx.AsyncClient, redis: Redis) -> None:
        for headers in ({}, {"dnt": "1"}, {"sec-gpc": "1"}):
            await self.visitor(client, redis, **headers, **{"x-forwarded-for": "203.0.113.77"})
        salts = set(await redis.keys("salt:*"))
        assert set(await redis.keys("*")) == salts | {events_key(0).encode(), delivery_key(0).encode(), b"shards"}
        held: Any = await redis.xrange(events_key(0))
        assert len(held) == 3
        assert "203.0.113.77" not in repr((held, salts, [await redis.get(salt) for salt in salts]))

    @pytest.mark.parametrize("header", ["dnt", "sec-gpc"])
    async def test_that_want_no_tracking_are_hashes(self, client: httpx.AsyncClient, redis: Redis, header: str) -> None:
        for visitor in ("", "abc"):
            await client.post("/v1/events", json=view(visitor=visitor), headers={header: "1"})
        await client.post("/v1/events", json=view(visitor="abc"), headers={header: "0"})
        without, private, tracked = await stored(redis)
        assert without.visitor == private.visitor != tracked.visitor

    @pytest.mark.parametrize(
        ("agent", "kept"), [(b"", ""), ("Trình duyệt".encode(), UNREADABLE_AGENT), (b"Zalo/1.0", "Zalo/1.0")]
    )
    async def test_with_a_user_agent_in_vietnamese_are_no_nameless_bots(
        self, client: httpx.AsyncClient, redis: Redis, agent: bytes, kept: str
    ) -> None:
        await client.post("/v1/events", json=view(), headers={b"user-agent": agent})
        assert [event.agent for event in await stored(redis)] == [kept]


async def test_other_paths_are_answered_whatever_their_query(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/ready")).json() == {"status": "ok", "checks": {"ingest": "ok"}}
    said(await client.get("/v1/nothing"), 404, "not_found")
    assert b" 200 OK" in await raw(client, "GET /health/live?a=tiếng HTTP/1.1\r\nhost: a\r\n\r\n")


async def test_the_documentation_has_the_paths_of_ingest(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert set(paths) >= {"/v1/events", "/v1/pixel.gif", "/health/ready"}
    assert set(paths["/v1/events"]["post"]["responses"]) == {"202", "400", "403", "404", "413", "422", "429", "503"}


async def test_ids_are_kept_as_they_came(client: httpx.AsyncClient, redis: Redis) -> None:
    event_id = uuid4()
    for form in (str(event_id), str(event_id).upper(), event_id.hex):
        assert (await client.post("/v1/events", json=view(id=form))).status_code == 202
    assert {event.id for event in await stored(redis)} == {event_id.bytes}
