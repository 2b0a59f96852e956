"""Row c: how fast one counter drains a backlog, against bare INSERTs of the same rows.

    python -m tests.bench.draining [--events 1000000] [--rounds 5]

The backlog is drained in parts: a counter drains a part into its store, then bare INSERTs put the same rows into
another one, and so on, so that what else the machine does slows both. The first batch of each is warm-up. Where
anything was lost or counted twice, there is no result.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from shared.delivery import Delivery, parse_delivery
from shared.streams import delivery_key
from tests.bench.backlog import DENSE, SITES, SPARSE, Part, append_part
from tests.bench.options import Measured, Options, VoidError, run
from tests.bench.processes import cpu_seconds
from tests.bench.result import compared
from tests.support.servers import RedisServer
from tests.support.stack import Stack, configured
from tests.support.truycap import ROOT, Service
from tests.support.truycap import run as truycap

_EVENTS_PER_VISITOR = 6
_MOST_SECONDS = 300


class Drained(NamedTuple):
    """What a part took. events: without the first batch; cpu: seconds, redis: those of Redis."""

    events: int
    seconds: float
    cpu: float
    redis: float = 0.0

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    def __str__(self) -> str:
        micro = 1e6 / self.events
        return f"{self.rate:,.0f}/s, CPU {self.cpu * micro:.1f} µs an event, of Redis {self.redis * micro:.1f}"


def delivery(redis: "Redis") -> Delivery:
    """What has come of the accepted events; its difference are those that wait."""
    values: Any = redis.hgetall(delivery_key(0))
    return parse_delivery(values, waiting=0)


def drain(server: RedisServer, redis: "Redis", counter: Service) -> Drained:
    """Drain what waits. VoidError where that takes too long."""
    begin, began, cpu, of_redis = delivery(redis).difference, 0.0, 0.0, 0.0
    ends = time.monotonic() + _MOST_SECONDS
    with counter:
        while waiting := delivery(redis).difference:
            if not began and waiting < begin:
                begin, began = waiting, time.monotonic()
                cpu, of_redis = cpu_seconds(counter.pid), cpu_seconds(server.pid)
            if time.monotonic() > ends:
                raise VoidError(f"{waiting} events still wait after {_MOST_SECONDS} s:\n{counter.output[-2000:]}")
            time.sleep(0.005)
        took = time.monotonic() - began
        return Drained(begin, took, cpu_seconds(counter.pid) - cpu, cpu_seconds(server.pid) - of_redis)


def insert(dsn: str, part: Part, events: int) -> tuple[int, Drained]:
    """How many rows the part has, and what their bare INSERTs took. events: of which, without the first batch."""
    command = [sys.executable, "-m", "tests.bench.bare_insert", dsn, json.dumps(part)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=_MOST_SECONDS)
    rows, seconds, cpu = done.stdout.split()
    return int(rows), Drained(events, float(seconds), float(cpu))


def measure(
    events: int, rounds: int, shape: tuple[tuple[int, int], int] = DENSE
) -> tuple[list[Drained], list[Drained]]:
    """The counter's rounds and those of the bare INSERTs. VoidError where the run is void."""
    counted, inserted, rows = [], [], 0
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name) / "redis") as server:
        folder, redis = Path(name), Redis.from_url(server.url)
        stack = Stack(folder, server, f"chdb://{folder}/store", sites=configured(SITES))
        _do("migrate", stack.environment)
        counter = stack.service("counter")
        (least, _), apart = shape
        span = events // rounds // least * apart  # no part takes longer
        began = int(time.time() * 1000) - rounds * span
        for number in range(rounds):
            part = Part(number, events // rounds, events // _EVENTS_PER_VISITOR, began + number * span, shape)
            append_part(redis, 0, part)
            counted.append(drain(server, redis, counter))
            more, took = insert(f"chdb://{folder}/bare", part, counted[-1].events)
            inserted.append(took)
            rows += more
            print(f"round {number}: counted {counted[-1]}; inserted {took}", flush=True)
        _do("verify", stack.environment)
        if (found := delivery(redis)).stored != rows:
            raise VoidError(f"{rows} rows were inserted, of the same events: {found}")
    return counted, inserted


def _do(command: str, environment: Mapping[str, str]) -> None:
    done = truycap(command, environment=environment, timeout=_MOST_SECONDS)
    if done.returncode:
        raise VoidError(f"truycap {command} says\n{done.stdout}{done.stderr}")


def main(options: Options) -> Measured:
    """Row c, and the same of a backlog in small entries."""
    results = []
    for what, events, shape in [
        (f"counter draining a backlog of {options.events:,} events", options.events, DENSE),
        ("the same from 2,000 events/s, in entries of 1 to 3", options.events // 4, SPARSE),
    ]:
        counted, inserted = measure(events, options.rounds, shape)
        rates, limits = ([took.rate for took in rounds] for rounds in (counted, inserted))
        results.append(compared("c", what, "events/s", rates, "bare INSERTs of the same rows", limits, 0.4, 0.6))
    return results, []


if __name__ == "__main__":
    run(main, __doc__)
