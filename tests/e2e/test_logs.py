"""The logs of services in trouble: lines of JSON that can be followed, and nothing of a visitor in them."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from shared.clock import wall_clock_ms
from shared.streams import append, events_key
from tests.support.counting import pageview
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.stack import Stack, until
from tests.support.truycap import Service

ADDRESS = "203.0.113.77"
VISITOR = "a-reader-of-the-portal"
AGENT = "Mozilla/5.0 (X11; Peculiar) Firefox/140.0"
PATH = "/a-private-article"
NUMBER = 17_446_744_073_709_551_557
"""A visitor as the stream has it."""


def post(ingest: Service, body: bytes) -> int:
    headers = {"user-agent": AGENT, "x-forwarded-for": ADDRESS, "content-type": "text/plain"}
    request = urllib.request.Request(f"{ingest.url}/v1/events", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def view(**other: Any) -> bytes:
    event = {"type": "pageview", "site": "hanoi", "id": str(uuid4()), "url": f"https://x.vn{PATH}", "visitor": VISITOR}
    return json.dumps(event | other).encode()


def test_logs_of_a_bad_day_are_json_and_name_no_visitor(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        stack = Stack(tmp_path, redis, clickhouse.dsn + "truycap").migrate()
        services = {name: stack.service(name) for name in ("ingest", "counter", "api")}
        ingest, counter, api = services.values()
        with ThreadPoolExecutor() as pool, ExitStack() as ends:
            for service in pool.map(Service.start, services.values()):
                ends.callback(service.stop)
            assert post(ingest, view()) == 202
            for body in (b"{", view(site="nowhere"), view(url=f"nothing{PATH}"), b'{"type": "pageview"}'):
                assert post(ingest, body) in {400, 404, 422}
            private: dict[str, Any] = {"visitor": NUMBER, "item": PATH, "agent": AGENT, "title": PATH}
            stranger = pageview("removed", **private)
            late = pageview(time=wall_clock_ms() + 86_400_000, **private)
            stack.ask(lambda redis: append(redis, 0, [stranger] * 9 + [late]))
            stack.ask(lambda redis: redis.xadd(events_key(0), {"v": 1, "n": 1, "events": PATH.encode()}))
            until(lambda: not stack.waiting(), "all is sorted out")

            clickhouse.kill()
            assert post(ingest, view()) == 202
            until(lambda: "the store failed" in counter.output, "the counter waits for ClickHouse")
            with httpx.Client(base_url=api.url, timeout=60) as client:
                assert client.get("/v1/sites/hanoi/stats/top?dimension=page").status_code == 503
                assert client.get(f"/v1/sites/hanoi/items?path={PATH}&x=%ff").status_code == 200
            redis.kill()
            assert post(ingest, view()) == 503
            until(lambda: "session ended" in counter.output, "the counter waits for Redis")
            until(lambda: "cannot be read" in api.output, "the api waits for Redis")
        logs = {name: [json.loads(line) for line in service.output.splitlines()] for name, service in services.items()}

    for name, lines in logs.items():
        assert {line["service"] for line in lines} == {name}
        assert [line["event"] for line in lines if line["event"] in {"runs", "stopped"}] == ["runs", "stopped"]
        assert not any("exception" in line for line in lines), f"{name} says more of an outage than a line"
        said = json.dumps(lines, ensure_ascii=False)
        for private_ in (ADDRESS, VISITOR, AGENT, "Peculiar", PATH, "article", str(NUMBER)):
            assert private_ not in said
    runs = next(line for line in logs["ingest"] if line["event"] == "runs")
    assert (runs["shards"], runs["sites"], runs["port"]) == (1, 1, ingest.port)
    assert runs["version"]
    dead = {line["reason"]: line for line in logs["counter"] if line["event"] == "events are dead-lettered"}
    assert {reason: line["events"] for reason, line in dead.items()} == {"unknown_site": 9, "undecodable": 1}
    assert len(dead["unknown_site"]["positions"]) == len(dead["unknown_site"]["ids"]) == 5
    assert all(line["shard"] == 0 and line["batch"].startswith("0:") for line in dead.values())
    assert not any(line["event"] == "events are rejected" for line in logs["counter"]), "every day brings some"
    failing = [line for line in logs["counter"] if line["event"].startswith("the store failed")]
    assert all(line["batch"].startswith("0:") for line in failing)
