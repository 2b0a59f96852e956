"""Traces of an event, sent to a real receiver; and what is there without one."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared import tracing
from shared.clickhouse import ClickHouse
from shared.sites import Sites
from shared.streams import events_key
from tests.support.counting import counting, settings, until_counted
from tests.support.ingest import SITES, URL, ingest_client, view
from tests.support.otlp import Receiver
from tests.support.servers import RedisServer

ADDRESS = "203.0.113.77"
VISITOR = "a-reader-of-the-portal"
FOREIGN = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"x-forwarded-for": ADDRESS, "traceparent": f"00-{FOREIGN}-b7ad6b7169203331-01", "user-agent": "Secret/1.0"}


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """Traces go to it meanwhile."""
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing.configure("test")
        yield receiver
        await tracing.stop()


async def entry(redis: Redis) -> dict[bytes, bytes]:
    found: Any = await redis.xrange(events_key(0))
    ((_, fields),) = found
    return dict(fields)


async def test_the_trace_of_a_request_reaches_the_insert(
    receiver: Receiver, redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    async with ingest_client(redis_server.url) as client:
        answer = await client.post("/v1/events", json=view(visitor=VISITOR), headers=HEADERS)
        assert answer.status_code == 202
    traceparent = (await entry(redis))[b"traceparent"].decode()
    async with counting(settings(redis_server.url, dsn), Sites(SITES, shards=1)):
        await until_counted(redis)
    await tracing.stop()  # sends what is left
    spans: dict[str, Any] = {span.name: span for span in receiver.spans}
    assert len(spans) == len(receiver.spans) == 5
    post, publish, process = (spans[name] for name in ("POST /v1/events", "publish events", "process events"))
    insert, apply = spans["INSERT events"], spans["EVAL apply"]
    assert {span.trace for span in receiver.spans} == {post.trace} != {FOREIGN}
    assert (post.parent, publish.parent, process.parent) == ("", post.id, publish.id)
    assert (insert.parent, apply.parent, process.links) == (process.id, process.id, [publish.id])
    assert traceparent.startswith(f"00-{post.trace}-{publish.id}-")
    assert post.attributes["http.response.status_code"] == 202
    assert process.attributes["messaging.destination.partition.id"] == "0"
    assert process.attributes["truycap.batch"].startswith("0:")
    assert (process.attributes["truycap.events"], process.attributes["truycap.recovered"]) == (1, False)
    sent = b"".join(receiver.bodies)
    for private in (VISITOR, ADDRESS, "127.0.0.1", "Secret", URL, "/tin-tuc"):
        assert private.encode() not in sent


async def test_without_a_receiver_an_entry_has_its_content_alone(redis: Redis, redis_server: RedisServer) -> None:
    async with ingest_client(redis_server.url) as client:
        assert (await client.post("/v1/events", json=view(), headers=HEADERS)).status_code == 202
    assert sorted(await entry(redis)) == [b"events", b"n", b"v"]


def test_without_a_receiver_no_tracer_is_loaded() -> None:
    program = """
import sys
import services.api.app, services.counter.app, services.embedded.app, services.ingest.app
from shared import tracing
tracing.configure("ingest")
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
