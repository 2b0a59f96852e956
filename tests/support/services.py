"""The services one by one, as processes of their own against real servers."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from tests.support.counting import PERSON
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
    """migrate, then ingest with two workers, two counters and the api. environment: more settings."""

    def __init__(self, folder: Path, redis_url: str, dsn: str, **environment: str) -> None:
        self.config = folder / "truycap.toml"
        self.config.write_text(CONFIG, "utf-8")
        self.environment = {
            "TRUYCAP_REDIS_URL": redis_url,
            "TRUYCAP_CLICKHOUSE_DSN": dsn,
            "TRUYCAP_CONFIG": str(self.config),
            "TRUYCAP_SHARDS": "2",
            **environment,
        }
        self.ports = {name: free_port() for name in ("ingest", "counter", "counter2", "api")}
        self._log = (folder / "services.log").open("ab")
        assert run("migrate", environment=self.environment).returncode == 0
        self.processes = {name: self._start(name) for name in self.ports}
        for name in self.ports:
            self._wait(name)

    def start(self, name: str) -> None:
        """Start one that has ended, and return when it is ready."""
        self.processes[name] = self._start(name)
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

    @property
    def ingest(self) -> str:
        """The URL of ingest."""
        return f"http://127.0.0.1:{self.ports['ingest']}"

    def get(self, name: str, path: str) -> Any:
        return json.loads(self._read(name, path))

    def metrics(self, name: str) -> dict[tuple[str, ...], float]:
        """What a service's /metrics says: values by metric and the values of its labels."""
        text = self._read(name, "/metrics").decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def _read(self, name: str, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=5) as answer:
            body: bytes = answer.read()
            return body

    def total(self, site: str) -> int | None:
        """The visits that the api shows; None while it refuses the site."""
        try:
            return int(self.get("api", f"/v1/sites/{site}/counts")["visits"]["total"])
        except urllib.error.HTTPError as error:
            error.close()
            return None

    def view(self, site: str, visitor: str) -> int:
        event = {
            "type": "pageview",
            "site": site,
            "id": str(uuid4()),
            "url": "https://hue.example.vn/",
            "visitor": visitor,
        }
        request = urllib.request.Request(
            f"{self.ingest}/v1/events",
            json.dumps(event).encode(),
            {"user-agent": PERSON, "content-type": "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)

    def workers(self, name: str) -> list[int]:
        """The process ids of a service's workers."""
        pid = self.processes[name].pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; their exit codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(20) for name, process in self.processes.items()}
        self._log.close()
        return codes


@contextmanager
def running(folder: Path) -> Iterator[Services]:
    """All services, with a Redis and a ClickHouse of their own, meanwhile."""
    with RedisServer(folder / "redis") as redis, ClickHouseServer(folder / "clickhouse") as clickhouse:
        services = Services(folder, redis.url, clickhouse.dsn + "truycap")
        try:
            yield services
        finally:
            services.stop()


def until_total(services: Services, site: str, total: int) -> None:
    ends = time.monotonic() + 15
    while (shown := services.total(site)) != total:
        assert time.monotonic() < ends, f"{site} shows {shown}, not {total}"
        time.sleep(0.1)
