"""The services one by one, as processes of their own against real servers."""

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import shared.redis
from shared.streams import append, dead_key
from tests.support.counting import PERSON, pageview
from tests.support.servers import ClickHouseServer, RedisServer, free_port
from tests.support.truycap import COMMAND, ROOT, run

CONFIG = """
[[site]]
id = "hanoi"
hostnames = ["*"]

[[site]]
id = "hue"
hostnames = ["hue.example.vn"]
public = false
"""


class Services:
    """migrate, then ingest with two workers, two counters and the api."""

    def __init__(self, folder: Path, redis_url: str, dsn: str) -> None:
        config = folder / "truycap.toml"
        config.write_text(CONFIG, "utf-8")
        self.environment = {
            "TRUYCAP_REDIS_URL": redis_url,
            "TRUYCAP_CLICKHOUSE_DSN": dsn,
            "TRUYCAP_CONFIG": str(config),
            "TRUYCAP_SHARDS": "2",
        }
        self.ports = {name: free_port() for name in ("ingest", "counter", "counter2", "api")}
        self._log = (folder / "services.log").open("ab")
        assert run("migrate", environment=self.environment).returncode == 0
        self.processes = {name: self._start(name) for name in self.ports}
        for name in self.ports:
            self._wait(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        workers = ["--workers", "2"] if name == "ingest" else []
        return subprocess.Popen(
            [*COMMAND, name.rstrip("2"), "--port", str(self.ports[name]), *workers],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=self._log,
            stderr=self._log,
        )

    def _wait(self, name: str) -> None:
        ends = time.monotonic() + 30
        while True:
            try:
                if self.get(name, "/health/ready")["status"] == "ok":
                    return
            except OSError:
                assert time.monotonic() < ends, f"{name} does not become ready"
                time.sleep(0.1)

    def get(self, name: str, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=5) as answer:
            return json.load(answer)

    def view(self, site: str, visitor: str) -> int:
        event = {
            "type": "pageview",
            "site": site,
            "id": str(uuid4()),
            "url": "https://hue.example.vn/",
            "visitor": visitor,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['ingest']}/v1/events",
            json.dumps(event).encode(),
            {"user-agent": PERSON, "content-type": "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; their exit codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(20) for name, process in self.processes.items()}
        self._log.close()
        return codes


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with RedisServer(tmp_path / "redis") as redis, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        services = Services(tmp_path, redis.url, clickhouse.dsn + "truycap")
        yield services
        services.stop()


def until_total(services: Services, site: str, total: int) -> None:
    ends = time.monotonic() + 15
    while (shown := services.get("api", f"/v1/sites/{site}/counts")["visits"]["total"]) != total:
        assert time.monotonic() < ends, f"{site} shows {shown}, not {total}"
        time.sleep(0.1)


def test_services_of_their_own_count_together_and_outlive_each_others_death(services: Services) -> None:
    for number in range(20):
        assert services.view("hanoi", f"v{number}") == 202
        assert services.view("hue", f"v{number}") == 202
    until_total(services, "hanoi", 20)
    with pytest.raises(urllib.error.HTTPError) as refused:
        services.get("api", "/v1/sites/hue/counts")
    with refused.value:
        assert refused.value.code == 403

    services.processes["counter"].kill()
    for number in range(20, 25):
        assert services.view("hanoi", f"v{number}") == 202
    until_total(services, "hanoi", 25)  # the other counter has taken the shards over

    checked = run("verify", environment=services.environment)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    codes = services.stop()
    assert {name: code for name, code in codes.items() if name != "counter"} == {"ingest": 0, "counter2": 0, "api": 0}


async def test_a_counter_that_can_count_nothing_ends_with_one_line(tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text(CONFIG, "utf-8")
    with RedisServer(tmp_path / "redis") as server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        environment = {
            "TRUYCAP_REDIS_URL": server.url,
            "TRUYCAP_CLICKHOUSE_DSN": clickhouse.dsn + "truycap",
            "TRUYCAP_CONFIG": str(config),
        }
        assert run("migrate", environment=environment).returncode == 0
        redis = shared.redis.client(server.url)
        await append(redis, 0, [pageview("removed") for _ in range(101)])
        done = await asyncio.to_thread(run, "counter", "--port", str(free_port()), environment=environment)
        assert done.returncode == 1, done.stderr
        said = [line for line in done.stderr.strip().splitlines() if '"level": "info"' not in line]
        assert len(said) == 1, done.stderr
        assert said[0].startswith("truycap: Counting stops: a batch of shard 0 has 101 dead letters")
        assert await redis.exists(dead_key(0)) == 0
        await redis.aclose()


def test_a_service_without_its_server_says_so_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text(CONFIG, "utf-8")
    nowhere = {"TRUYCAP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "TRUYCAP_CONFIG": str(config)}
    for command in ("ingest", "counter", "api"):
        done = run(command, "--port", str(free_port()), environment=nowhere)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "No Redis answers" in done.stderr
        assert "TRUYCAP_REDIS_URL" in done.stderr
