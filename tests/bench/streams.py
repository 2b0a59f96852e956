"""Live streams on one api process: what each weighs, and whether all are served each second.

python -m tests.bench.streams

The api is a process of its own beside a real Redis; this process is all its clients, and changes the numbers of every
site once a second, as the counter's apply would. Void where a stream is cut or refused, or misses a number.
"""

import asyncio
import resource
import tempfile
import time
from itertools import chain
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple, cast

import uvloop

import shared.redis
from shared.readmodel import TOTAL, Measure, counts_field, counts_key
from shared.streams import delivery_key
from tests.bench.options import Measured, Options, VoidError, run
from tests.bench.processes import cpu_seconds, pss
from tests.bench.result import Result
from tests.support.servers import RedisServer
from tests.support.truycap import Service

CLIENTS = 10_000
SITES = 100
SECONDS = 20
SETTLE_SECONDS = 3
_AT_ONCE = 100
_TOTAL = b'"total":'
"""The last of an event is the total of page views: which number it brings."""


class Reader(asyncio.Protocol):
    """A client: reads, and notes when it had which number. The last chunk tells, for numbers only grow."""

    __slots__ = ("_path", "cut", "had")

    def __init__(self, path: str) -> None:
        self._path = path
        self.had: dict[int, float] = {}
        self.cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(
            f"GET {self._path} HTTP/1.1\r\nHost: dem.example.vn\r\nAccept: text/event-stream\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        start = data.rfind(_TOTAL) + len(_TOTAL)
        if start >= len(_TOTAL):
            self.had.setdefault(int(data[start : data.index(b"}", start)]), time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut = True


class Served(NamedTuple):
    """clients: how many had every number; kilobytes: of the api's memory for each stream; delays: in seconds from a
    change to each client; last: to the last client, for each change; cpu: of the api, as a part of one core.
    """

    clients: int
    kilobytes: float
    delays: list[float]
    last: list[float]
    cpu: float


async def measure(clients: int) -> Served:
    """Open so many streams, change the numbers SECONDS times, and see who had them."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as server:
        config = Path(folder) / "truycap.toml"
        names = [f"s{number}" for number in range(SITES)]
        config.write_text("".join(f'[[site]]\nid = "{name}"\nhostnames = ["*"]\n' for name in names), "utf-8")
        redis = shared.redis.client(server.url)

        async def change(number: int) -> float:
            async with redis.pipeline(transaction=True) as pipe:
                for name in names:
                    pipe.hset(counts_key(0, name), counts_field(Measure.PAGEVIEWS, TOTAL), str(number))
                pipe.hset(delivery_key(0), "applied", f"{number}-0")
                at = time.monotonic()
                await pipe.execute()
            return at

        settings = {"TRUYCAP_REDIS_URL": server.url, "TRUYCAP_CONFIG": str(config), "TRUYCAP_LOG_LEVEL": "error"}
        with Service(Path(folder) / "api.log", "api", **settings, TRUYCAP_LIVE_STREAMS=str(clients + 1)) as api:
            loop = asyncio.get_running_loop()
            readers = [Reader(f"/v1/sites/{names[number % SITES]}/live") for number in range(clients + 1)]
            await change(0)
            await loop.create_connection(lambda: readers[clients], "127.0.0.1", api.port)
            await asyncio.sleep(1)
            before = pss(api.pid)
            for start in range(0, clients, _AT_ONCE):
                group = readers[start : start + _AT_ONCE]
                await asyncio.gather(
                    *(loop.create_connection(lambda r=reader: r, "127.0.0.1", api.port) for reader in group)  # type: ignore[misc]
                )
            await asyncio.sleep(SETTLE_SECONDS)
            changed: list[float] = []
            cpu, began = cpu_seconds(api.pid), time.monotonic()
            for number in range(1, SECONDS + 1):
                await asyncio.sleep(began + number - time.monotonic())
                changed.append(await change(number))
            await asyncio.sleep(2)
            cpu = (cpu_seconds(api.pid) - cpu) / (time.monotonic() - began)
            weight = (pss(api.pid) - before) / clients / 1000
            served = [reader for reader in readers[:clients] if not reader.cut and len(reader.had) == SECONDS + 1]
        await redis.aclose()
    delays = [[reader.had[n] - at for reader in served] for n, at in enumerate(changed, 1)]
    return Served(len(served), weight, list(chain.from_iterable(delays)), [max(of, default=0.0) for of in delays], cpu)


def main(_options: Options) -> Measured:
    """Row g."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    served = uvloop.run(measure(CLIENTS))
    if served.clients < CLIENTS:
        raise VoidError(
            f"{CLIENTS - served.clients} of {CLIENTS} streams were cut or missed a number;"
            f" {served.kilobytes:.1f} KB each, {served.cpu:.0%} of a core"
        )
    cuts = quantiles(served.delays, n=100)
    said = (
        f"{served.clients} streams; change to client p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s,"
        f" last {max(served.last):.2f} s; {served.cpu:.0%} of a core"
    )
    return [
        Result("g", "SSE clients served each second", said, f"{CLIENTS} streams", served.clients, CLIENTS, CLIENTS),
        Result("g", "memory of each", f"{served.kilobytes:.1f} KB", "20 KB", served.kilobytes, 20, 10, smaller=True),
    ], []


if __name__ == "__main__":
    run(main, __doc__)
