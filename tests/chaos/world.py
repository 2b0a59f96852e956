"""All of truycap on loopback, for one run: Redis, ClickHouse, ingest with two workers, counters, api."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import shared.redis
from shared.clickhouse import ClickHouse
from shared.sites import Sites, load_sites
from tests.chaos import check
from tests.chaos.points import Armoury
from tests.chaos.proxy import Proxy
from tests.chaos.sabotage import WITHOUT_WINDOW, Sabotage
from tests.chaos.service import End, Service
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.truycap import COMMAND, ROOT

SHARDS = 2
DISK_BYTES = 256 * 1024 * 1024
ZONES = {
    "hanoi": "Asia/Ho_Chi_Minh",
    "hue": "Asia/Ho_Chi_Minh",
    "newyork": "America/New_York",
    "kolkata": "Asia/Kolkata",
    "kiritimati": "Pacific/Kiritimati",
    "caobang": "Asia/Ho_Chi_Minh",
}


class Backend(StrEnum):
    """Where ClickHouse is."""

    CHDB = "chDB inside the counter"
    HTTP = "over HTTP"


class World:
    """The running processes. Everything of it lies in `folder` and ends with `close`.

    small_disks: bound the data folders, where that is allowed, so that they can be filled.
    """

    def __init__(
        self, folder: Path, backend: Backend, sabotage: Sabotage | None = None, *, small_disks: bool = True
    ) -> None:
        self.folder = folder
        self.backend = backend
        self.sabotage = sabotage
        self.odd: list[End] = []
        self._extras = 0
        config = folder / "truycap.toml"
        config.write_text(
            "".join(
                f'[[site]]\nid = "{site}"\nhostnames = ["*"]\ntimezone = "{zone}"\n' for site, zone in ZONES.items()
            )
        )
        self.sites = Sites(load_sites(config), SHARDS)
        self.armoury = Armoury(folder / "points")
        self.disks = Disks([folder / "redis", folder / "clickhouse"] if small_disks else [])
        self.redis = RedisServer(folder / "redis")
        self.clickhouse = ClickHouseServer(folder / "clickhouse")
        self.proxy = Proxy(0)
        self.services: list[Service] = []
        self._config = config

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TRUYCAP_REDIS_URL": self.redis.url,
            "TRUYCAP_CLICKHOUSE_DSN": self._dsn(self.proxy.port),
            "TRUYCAP_CONFIG": str(self._config),
            "TRUYCAP_SHARDS": str(SHARDS),
            "TRUYCAP_RATE_LIMIT": "0",
            "CHAOS_POINTS": str(self.armoury.folder),
            "CHAOS_SABOTAGE": self.sabotage or "",
        }

    def _dsn(self, port: int) -> str:
        if self.backend is Backend.CHDB:
            return f"chdb://{self.folder / 'clickhouse' / 'data'}"
        return f"http://127.0.0.1:{port}/truycap"

    async def open(self) -> None:
        """Start ingest and api; the counters by `start_counters`, so that some events are there before them."""
        await asyncio.to_thread(self.redis.start)
        if self.backend is Backend.HTTP:
            await asyncio.to_thread(self.clickhouse.start)
            self.proxy.upstream = self.clickhouse.port
            await self.proxy.start()
        await asyncio.to_thread(self.command, "migrate")
        if self.sabotage is Sabotage.NO_WINDOW:
            await self._without_window()
        self.ingest = self._service("ingest", "ingest", "--workers", "2")
        self.api = self._service("api", "api")
        for service in self.services:
            service.start()
        self.counters = [self._service("counter", "counter")]
        if self.backend is Backend.HTTP:
            self.counters.append(self._service("counter2", "counter"))
        await asyncio.gather(self.ingest.ready(), self.api.ready())

    async def start_counters(self) -> None:
        for counter in self.counters:
            counter.start()
        await asyncio.gather(*(counter.ready() for counter in self.counters))

    def extra_counter(self) -> Service:
        """One more counter, not started and not among the services."""
        self._extras += 1
        return Service(f"extra counter {self._extras}", "counter", self.environment, self.folder, self.odd)

    async def close(self) -> None:
        """End all processes, in whatever state they are."""
        self.proxy.set(self.proxy.mode.PASS)
        await asyncio.gather(*(service.abandon() for service in self.services))
        await self.proxy.stop()
        await asyncio.to_thread(self.clickhouse.kill)
        await asyncio.to_thread(self.redis.kill)
        self.disks.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A truycap command to its end, as a user would run it."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env={**_bare_environment(), **{k: v for k, v in self.environment.items() if k.startswith("TRUYCAP_")}},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    async def stored(self) -> check.Stored:
        """What ClickHouse has; nothing else may have a chDB folder open."""
        store = await ClickHouse.connect(self._dsn(self.clickhouse.port))
        try:
            events = [check.StoredEvent(*row) for row in await store.query(check.EVENTS_SQL)]
            rest = [await store.query(sql) for sql in (check.TRAFFIC_SQL, check.BREAKDOWN_SQL, check.ITEMS_SQL)]
        finally:
            await store.close()
        return check.Stored(events, *rest)

    async def shown(self) -> check.Shown:
        """What Redis has."""
        redis = shared.redis.client(self.redis.url)
        hashes: dict[str, dict[str, str]] = {}
        waiting, dead = 0, Counter[str]()
        try:
            async for found in redis.scan_iter(count=1000):
                shard, _, key = found.decode().partition(":")
                kind: Any = await redis.type(found)
                match kind.decode():
                    case "hash":
                        fields: Any = await redis.hgetall(found)
                        name = f"{key} {shard}" if key == "delivery" else key
                        hashes[name] = {field.decode(): value.decode() for field, value in fields.items()}
                    case "stream" if key == "events":
                        waiting += await redis.xlen(found)
                    case "stream":
                        letters: Any = await redis.xrange(found)
                        dead.update(fields[b"reason"].decode() for _, fields in letters)
        finally:
            await redis.aclose()
        return check.Shown(hashes, waiting, dead)

    @property
    def zones(self) -> dict[str, ZoneInfo]:
        return {site: ZoneInfo(zone) for site, zone in ZONES.items()}

    def _service(self, name: str, command: str, *options: str) -> Service:
        service = Service(name, command, self.environment, self.folder, self.odd, *options)
        self.services.append(service)
        return service

    async def _without_window(self) -> None:
        script = (
            "import asyncio\nfrom shared.clickhouse import ClickHouse\n"
            "async def main():\n"
            f"    store = await ClickHouse.connect({self._dsn(self.clickhouse.port)!r})\n"
            f"    await store.command({WITHOUT_WINDOW!r})\n"
            "    await store.close()\n"
            "asyncio.run(main())\n"
        )
        # In a process of its own: chDB's folder must be free for the counter.
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


class Disks:
    """File systems of bounded size for the data folders, so that they can run full; where mounting is allowed."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self.mounted: list[Path] = []
        for path in folders:
            path.mkdir(parents=True, exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "truycap-chaos", str(path)]
            if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                self.mounted.append(path)

    @property
    def there(self) -> bool:
        return bool(self._folders) and self.mounted == self._folders

    def fill(self, path: Path) -> None:
        """Not a byte more can be written there."""
        with (path / "filler").open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while filler.write(b"\0" * size):
                        pass
                except OSError:
                    continue

    def free(self, path: Path) -> None:
        (path / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        for path in self.mounted:
            subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=False)


def _bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TRUYCAP_")}
