"""Every panel of every dashboard, asked of a real Prometheus that watches real services under traffic of every kind."""

import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from shared.streams import delivery_key, events_key
from tests.support.counting import GOOGLEBOT, PERSON
from tests.support.gateway import GatewayServer
from tests.support.meanwhile import meanwhile
from tests.support.prometheus import PrometheusServer
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.services import Services
from tests.support.truycap import ROOT

DASHBOARDS = ROOT / "deploy/grafana/dashboards"
RULES = ROOT / "deploy/prometheus/alerts.yml"
FILLED_SECONDS = 30.0
HONESTLY_0 = {
    "Events unaccounted for (good: 0)",
    "Unaccounted for, by shard (good: 0)",
    "Refused, Redis takes none (good: 0)",
    "Taken over and tried again (good: 0)",
    "Oldest event waiting (good: below 1 s)",
    "Oldest waiting, by shard (good: below 1 s)",
    "Entries waiting (good: below 1,000)",
    "Entries waiting, by shard (good: below 1,000)",
    "Streams ended by the api (good: none)",
}
"""What is 0 where all is well; every other panel must show more."""
READS = ("/v1/sites/hanoi/counts", "/v1/sites/hanoi/items?path=/", "/v1/sites/hanoi/stats/timeseries", "/widget.js")
VIEW = {"type": "pageview", "site": "hanoi", "url": "https://hue.example.vn/", "visitor": "v"}
VOTE = {"type": "rating", "site": "hanoi", "item": "/", "score": 5, "voter": "v"}


class Traffic:
    """Browsers, a bot, and somebody with a wrong snippet."""

    def __init__(self, services: Services) -> None:
        self._ingest, self._api = (f"http://127.0.0.1:{services.ports[name]}" for name in ("ingest", "api"))

    def once(self) -> None:
        self._send(VIEW)
        self._send({**VIEW, "site": "hue"})
        self._send({**VIEW, "site": "nobody"})  # refused
        self._send(VOTE, GOOGLEBOT)  # rejected
        self._get(f"{self._ingest}/v1/pixel.gif?site=hanoi&url=https://hue.example.vn/")
        for path in READS:
            self._get(self._api + path)

    def stream(self) -> Any:
        """A live stream that stays open."""
        return urllib.request.urlopen(f"{self._api}/v1/sites/hanoi/live", timeout=5)

    def _send(self, event: dict[str, Any], agent: str = PERSON) -> None:
        body = json.dumps({**event, "id": str(uuid4())}).encode()
        self._get(f"{self._ingest}/v1/events", body, agent)

    def _get(self, url: str, body: bytes | None = None, agent: str = PERSON) -> None:
        headers = {"user-agent": agent, "content-type": "text/plain"}
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("dashboards")
    with ExitStack() as stack:
        redis_server = stack.enter_context(RedisServer(folder / "redis"))
        clickhouse = stack.enter_context(ClickHouseServer(folder / "clickhouse"))
        redis: Redis = stack.enter_context(Redis(port=redis_server.port))
        redis.config_set("maxmemory", 2**28)
        services = Services(folder, redis_server.url, clickhouse.dsn + "truycap", TRUYCAP_RATE_LIMIT="0")
        stack.callback(services.stop)
        targets = {job: [services.ports[job]] for job in ("ingest", "counter", "api")}
        targets["counter"].append(services.ports["counter2"])
        targets["gateway"] = [stack.enter_context(GatewayServer(folder / "gateway")).port]
        server = PrometheusServer(folder / "prometheus", targets, [str(RULES)])
        stack.enter_context(server)
        traffic = Traffic(services)
        stack.enter_context(traffic.stream())
        stack.enter_context(meanwhile(traffic.once, 0.1))
        # An alert tells new dead letters from old ones, so there must have been none.
        until(lambda: bool(server.query("truycap_dead_letter_entries == 0")), "no dead letters are seen")
        for shard in (0, 1):
            redis.xadd(events_key(shard), {"v": "9", "n": "1", "events": ""})
            redis.hincrby(delivery_key(shard), "accepted", 1)
        yield server


def until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + FILLED_SECONDS
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.5)


def empty(prometheus: PrometheusServer, panel: dict[str, Any]) -> list[str]:
    """The panel's expressions that give nothing, no number, or nothing above 0 where that is no good news."""
    found = []
    for target in panel.get("targets", []):
        expression = target["expr"].replace("$__rate_interval", "30s")
        values = [float(series["value"][1]) for series in prometheus.query(expression)]
        numbers = bool(values) and all(math.isfinite(value) for value in values)
        if not numbers or (max(values) <= 0 and panel["title"] not in HONESTLY_0):
            found.append(f"{panel['title']}: {expression} gives {values}")
    return found


@pytest.mark.parametrize("name", ["overview", "ingest", "counter", "api"])
def test_every_panel_is_filled_from_real_traffic(prometheus: PrometheusServer, name: str) -> None:
    panels = json.loads((DASHBOARDS / f"{name}.json").read_text("utf-8"))["panels"]
    left: list[str] = []

    def all_filled() -> bool:
        left[:] = [line for panel in panels for line in empty(prometheus, panel)]
        return not left

    try:
        until(all_filled, "all panels are filled")
    except AssertionError:
        pytest.fail("\n".join(left))


def test_the_alert_that_these_dead_letters_are_for_fires(prometheus: PrometheusServer) -> None:
    """And no other: the rules are those of production, and nothing else is wrong."""

    def firing() -> set[str]:
        return {alert["labels"]["alertname"] for alert in prometheus.alerts() if alert["state"] == "firing"}

    until(lambda: bool(firing()), "an alert fires")
    assert firing() == {"TruycapDeadLetters"}
