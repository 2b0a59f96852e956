"""What tests of ingest share: a running one, what to send, and what is on the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from redis.asyncio import Redis

from services.ingest.app import Ingest
from services.ingest.docs import openapi
from shared.clock import wall_clock_ms
from shared.events import StreamEvent
from shared.server import Server
from shared.settings import Settings
from shared.sites import Site, Sites
from shared.streams import Entry, EntryId, Packed, append_packed, decode_entry, events_key
from shared.web import create_web
from tests.support.counting import PERSON
from tests.support.http import HttpServer

PORTAL = "portal.example.vn"
URL = f"https://{PORTAL}/tin-tuc/?p=1"
SITES = [Site(id="portal", hostnames=[PORTAL]), Site(id="baotin", hostnames=["*"])]


def view(site: str = "portal", **other: Any) -> dict[str, Any]:
    """A page view as a page sends it."""
    return {"type": "pageview", "site": site, "id": str(uuid4()), "url": URL, **other}


def ping(site: str = "portal") -> dict[str, Any]:
    return {"type": "ping", "site": site, "url": URL}


@asynccontextmanager
async def ingest_client(
    redis_url: str, *, now_ms: Callable[[], int] = wall_clock_ms, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an ingest that runs meanwhile."""
    chosen = Settings(redis_url=redis_url, **settings)
    ingest = Ingest(chosen, Sites(SITES, chosen.shards), now_ms)
    try:
        await ingest.start()
        cold = create_web("ingest", [], {"ingest": ingest.ready}, [openapi()])
        async with HttpServer(Server(ingest.routes, cold=cold)) as server:
            limits = httpx.Limits(max_connections=None)
            headers = {"user-agent": PERSON}
            async with httpx.AsyncClient(
                base_url=server.url, headers=headers, limits=limits, timeout=5, trust_env=False
            ) as client:
                yield client
    finally:
        await ingest.stop()


async def raw(client: httpx.AsyncClient, request: str) -> bytes:
    """The first part of the answer to what no client library would send."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        async with asyncio.timeout(5):
            writer.write(request.encode())
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


class Gate:
    """Stands before Redis. reached: a group has come to it; open: groups may pass."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def append(self, redis: "Redis", shard: int, events: Sequence[Packed], beside: Mapping[str, str]) -> EntryId:
        self.reached.set()
        await self.open.wait()
        return await append_packed(redis, shard, events, beside)


async def entries(redis: "Redis", shard: int = 0) -> list[list[StreamEvent]]:
    """The events on the stream, by entry."""
    found: Any = await redis.xrange(events_key(shard))
    return [
        [event for event in decode_entry(Entry(EntryId.parse(name), fields)) if isinstance(event, StreamEvent)]
        for name, fields in found
    ]


async def stored(redis: "Redis", shard: int = 0) -> list[StreamEvent]:
    """The events on the stream."""
    return [event for entry in await entries(redis, shard) for event in entry]


def said(answer: httpx.Response, status: int, code: str) -> str:
    """The message of an error in the one shape."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert (error.keys(), error["code"]) == ({"code", "message"}, code)
    assert error["message"]
    return str(error["message"])
