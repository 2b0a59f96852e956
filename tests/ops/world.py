"""What the faults happen to: all services with servers of their own, a little traffic, and a Prometheus with the rules.

Prometheus looks every second, and so that a run takes minutes, every duration in the rules (`for:`, and what stands in
brackets) is a tenth of what it is. Thresholds stay as they are.
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from redis import Redis

from tests.support.counting import PERSON
from tests.support.gateway import GatewayServer
from tests.support.meanwhile import meanwhile
from tests.support.prometheus import PrometheusServer
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.services import Services
from tests.support.truycap import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yml"
QUICKER = 10
MEMORY = 64 * 2**20
STREAMS = 20
DISK = 512 * 2**20
_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000}
_JOBS = {"ingest": ["ingest"], "counter": ["counter", "counter2"], "api": ["api"]}


def quicker(rules: str) -> str:
    """The rules with every duration after `for:` and within brackets QUICKER times shorter."""

    def shorter(found: re.Match[str]) -> str:
        return re.sub(
            r"(\d+)([smh])", lambda time: f"{int(time[1]) * _MILLISECONDS[time[2]] // QUICKER}ms", found.group()
        )

    return re.sub(r"for: \w+|\[[\dsmh:]+\]", shorter, rules)


class World:
    """Everything that runs. disk: the small file system that ClickHouse writes to, None where none may be mounted."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.disk = stack.enter_context(_small_disk(folder / "clickhouse"))
        self.redis_server = stack.enter_context(RedisServer(folder / "redis"))
        self.clickhouse = stack.enter_context(ClickHouseServer(folder / "clickhouse"))
        self.redis: Redis = Redis(port=self.redis_server.port)
        self.redis.config_set("maxmemory", MEMORY)
        dsn = self.clickhouse.dsn + "truycap"
        self.services = Services(
            folder, self.redis_server.url, dsn, TRUYCAP_RATE_LIMIT="0", TRUYCAP_LIVE_STREAMS=str(STREAMS)
        )
        stack.callback(self.services.stop)
        self.gateway = stack.enter_context(GatewayServer(folder / "gateway"))
        (folder / "prometheus").mkdir()
        (folder / "prometheus" / RULES.name).write_text(quicker(RULES.read_text("utf-8")), "utf-8")
        targets = {job: self.ports(job) for job in _JOBS} | {"gateway": [self.gateway.port]}
        self.prometheus = stack.enter_context(PrometheusServer(folder / "prometheus", targets, [RULES.name]))
        for visit in (self._write, self._read):
            stack.enter_context(meanwhile(visit, 0.2))

    def ports(self, job: str) -> list[int]:
        return [self.services.ports[name] for name in _JOBS[job]]

    def kill(self, job: str) -> None:
        """SIGKILL to all processes of a service."""
        for name in _JOBS[job]:
            self.services.processes[name].kill()
            self.services.processes[name].wait()

    def start(self, job: str) -> None:
        """Start what `kill` has ended, and return when it is ready."""
        for name in _JOBS[job]:
            self.services.start(name)

    @contextmanager
    def frozen(self, *processes: int) -> Iterator[None]:
        """Processes that are stopped meanwhile (SIGSTOP): there, and they do not answer."""
        with ExitStack() as stack:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
                stack.callback(os.kill, pid, signal.SIGCONT)
            yield

    def send(self, site: str, views: int) -> None:
        """So many page views in one request."""
        view = {"type": "pageview", "site": site, "url": "https://hue.example.vn/", "visitor": "v"}
        body = json.dumps([{**view, "id": str(uuid4())} for _ in range(views)])
        headers = {"user-agent": PERSON, "content-type": "application/json"}
        url = f"http://127.0.0.1:{self.services.ports['ingest']}/v1/events"
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=3):
            pass

    def _write(self) -> None:
        for site in ("hanoi", "hue"):
            self.send(site, 1)

    def _read(self) -> None:
        for path in ("counts", "items?path=/"):
            url = f"http://127.0.0.1:{self.services.ports['api']}/v1/sites/hanoi/{path}"
            with urllib.request.urlopen(url, timeout=3):
                pass


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "truycap-faults", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wait(condition: Callable[[], bool], seconds: float, every: float = 0.5) -> bool:
    """Whether a condition came to hold within some seconds."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(every)
    return True
