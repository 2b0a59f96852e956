"""Row j: statistics and counts at 1, 10 and 100 million page views: their time against that at 1 million.

python -m tests.bench.growing [--rows 100000000]

The three years of a portal, of which one with more readers has more page views. What the roll-ups hold at each size is
cloned, and the read model computed into a Redis database of its own; at the end all sizes are asked in turn, so that a
noisy machine does not matter. Statistics are asked as the api asks them, without the time that HTTP takes.

100 million rows take six to eight minutes to make and 4 GB of disk; --rows 10000000 takes two.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from services.api.snapshots import Snapshots
from services.api.stats import stats
from services.counter.truth import ROLL_UPS, sql, true_hashes
from shared.clickhouse import ClickHouse, Queries, Row, format_time
from shared.readmodel import VISIT_MS, Presence, presence_key, presence_score, visitor_member
from shared.redis import client
from shared.sites import Sites
from shared.streams import EntryId
from shared.web import create_web
from tests.bench.history import SITE, History
from tests.bench.options import Measured, Options, run
from tests.bench.result import Result
from tests.support.servers import RedisServer

SIZES = (1_000_000, 10_000_000, 100_000_000)
LEAST, AIM = 2.0, 1.2
_DAYS = 3 * 365
_NOW_MS = int(datetime(2024, 12, 25, 5, tzinfo=UTC).timestamp() * 1000)
"""Noon of one of the last days."""
_ROUNDS = 60
_SITES = Sites([SITE], 1)
_ALL = EntryId(2**62, 0)
_YEAR = "since=2023-12-26&until=2024-12-25"
_STATISTICS = (
    "timeseries",
    "timeseries?interval=hour",
    f"timeseries?{_YEAR}",
    f"timeseries?interval=month&{_YEAR}",
    "timeseries?interval=year&since=2022-01-01",
    "top",
    "top?dimension=referrer",
    "top?dimension=browser",
    "top?dimension=bot",
    f"top?{_YEAR}",
    f"top?dimension=referrer&{_YEAR}",
)

Ask = Callable[[], Awaitable[float]]
"""Asks a question and says how many seconds the stores took."""


class Timed:
    """A store whose answers are timed. seconds: what the last one took."""

    def __init__(self, store: Queries) -> None:
        self._store = store
        self.seconds = 0.0

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        begin = time.perf_counter()
        rows = await self._store.query(sql, parameters)
        self.seconds = time.perf_counter() - begin
        return rows


async def measure(rows: int, console: Console) -> list[Result]:
    """The row, with a table of every question at every size up to `rows`."""
    asked: dict[int, dict[str, Ask]] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(RedisServer(folder / "redis"))
        store = await ClickHouse.connect(f"chdb://{folder}/store")
        stack.push_async_callback(store.close)
        history = History(store, _DAYS)
        await history.begin()
        await store.command("SYSTEM STOP MERGES events")  # no question reads them, and it takes half of the time
        for number, size in enumerate(size for size in SIZES if size <= rows):
            begin = time.perf_counter()
            await history.grow(size)
            console.print(f"{history.rows:,} page views after {time.perf_counter() - begin:.0f} s")
            redis = client(f"{server.url}/{number}", timeout=10)
            stack.push_async_callback(redis.aclose)
            await _fill(redis, store)
            clone = await _clone(store, folder, size)
            stack.push_async_callback(clone.close)
            asked[size] = {**_statistics(clone), **_counts(redis)}
        took = await _take(asked)
    console.print(_shown(took))
    return [_result(took)]


async def _clone(store: ClickHouse, folder: Path, size: int) -> ClickHouse:
    """The roll-ups as they are now, merged, in a database of their own."""
    clone = await ClickHouse.connect(f"chdb://{folder}/store?database=at_{size}")
    for table in ROLL_UPS:
        await store.command(f"CREATE TABLE at_{size}.{table} CLONE AS {table}")
        await clone.command(f"OPTIMIZE TABLE {table} FINAL")
    return clone


async def _fill(redis: "Redis", store: ClickHouse) -> None:
    """Redis with the read model of what the store holds, and who was there lately."""
    for key, fields in (await true_hashes(store, 0, _ALL)).items():
        await redis.hset(key, mapping=fields)  # type: ignore[arg-type]
    since = {"shard": 0, "since": format_time(_NOW_MS - VISIT_MS), "ms": _ALL.ms, "seq": _ALL.seq}
    present = [(visitor, at) for _, visitor, at, _ in await store.query(sql("present"), since) if at <= _NOW_MS]
    scores = {visitor_member(visitor): presence_score(Presence.GUEST, at) for visitor, at in present}
    await redis.zadd(presence_key(0, SITE.id), scores)


def _statistics(store: Queries) -> dict[str, Ask]:
    timed = Timed(store)
    web = create_web("bench", [stats(_SITES, timed, lambda: _NOW_MS)], {})
    http = httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://bench")

    def question(path: str) -> Ask:
        async def ask() -> float:
            (await http.get(f"/v1/sites/{SITE.id}/stats/{path}")).raise_for_status()
            return timed.seconds

        return ask

    return {path: question(path) for path in _STATISTICS}


def _counts(redis: "Redis") -> dict[str, Ask]:
    async def counts() -> float:
        begin = time.perf_counter()
        await Snapshots(redis, _SITES, lambda: _NOW_MS).counts(SITE)
        return time.perf_counter() - begin

    async def item() -> float:
        begin = time.perf_counter()
        await Snapshots(redis, _SITES, lambda: _NOW_MS).item(SITE, "/")
        return time.perf_counter() - begin

    return {"counts, read from Redis": counts, "an item, read from Redis": item}


async def _take(asked: Mapping[int, Mapping[str, Ask]]) -> dict[str, dict[int, float]]:
    """The median seconds of each question at each size."""
    taken: dict[str, dict[int, list[float]]] = {}
    for turn in range(_ROUNDS + 1):
        for size, questions in asked.items():
            for name, ask in questions.items():
                seconds = await ask()
                if turn:  # the first is a warm-up
                    taken.setdefault(name, {}).setdefault(size, []).append(seconds)
    return {name: {size: median(seconds) for size, seconds in sizes.items()} for name, sizes in taken.items()}


def _shown(took: Mapping[str, Mapping[int, float]]) -> Table:
    sizes = list(next(iter(took.values())))
    table = Table("ms (times of that at the smallest)", *(f"{size:,}" for size in sizes))
    for name, seconds in took.items():
        first = seconds[sizes[0]]
        table.add_row(name, *(f"{seconds[size] * 1000:.2f} ({seconds[size] / first:.2f})" for size in sizes))
    return table


def _result(took: Mapping[str, Mapping[int, float]]) -> Result:
    """The question that grows most."""
    first, *larger = next(iter(took.values()))
    ratios = {(name, size): took[name][size] / took[name][first] for name in took for size in larger}
    name, size = max(ratios, key=ratios.__getitem__)
    return Result(
        "j",
        f"statistics and counts at up to {max(larger):,} rows; the most growing: {name} at {size:,}",
        f"{took[name][size] * 1000:.1f} ms",
        f"{took[name][first] * 1000:.1f} ms at {first:,}",
        ratios[name, size],
        LEAST,
        AIM,
        smaller=True,
    )


def main(options: Options) -> Measured:
    """Row j."""
    return asyncio.run(measure(options.rows, Console())), []


if __name__ == "__main__":
    run(main, __doc__)
