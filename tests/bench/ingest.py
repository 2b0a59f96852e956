"""Rows a and b: what one ingest process accepts, against a server that does nothing, and against bare decoding.

python -m tests.bench.ingest [--rounds 5] [--seconds 4]
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from shared.delivery import read_delivery
from shared.events import Event
from tests.bench.limit import fastest
from tests.bench.load import CONNECTIONS, load
from tests.bench.options import Options, run, table
from tests.bench.requests import posts, write_requests
from tests.bench.result import Result, Tails, compared
from tests.bench.traffic import HOST
from tests.support.servers import RedisServer
from tests.support.stack import Stack
from tests.support.truycap import Service

SITE = "portal"
CONFIG = f'[[site]]\nid = "{SITE}"\nhostnames = ["{HOST}"]\n'
PATH = "/v1/events"
ARRAY = 100
_ARRAY_CONNECTIONS = 64
"""More would be more than 20,000 events at once, which ingest refuses."""
_STUCK_SECONDS = 60


@contextmanager
def ingesting(folder: Path) -> Iterator[tuple[Stack, Service]]:
    """One ingest process with its Redis, behind a proxy that it trusts."""
    with RedisServer(folder / "redis") as redis:
        stack = Stack(folder, redis, f"chdb://{folder}/store", sites=CONFIG, TRUYCAP_TRUSTED_PROXIES="127.0.0.1")
        stack.migrate()
        with stack.service("ingest") as service:
            yield stack, service


def drain(stack: Stack) -> None:
    """Wait until nothing waits; RuntimeError where for a minute no entry was counted."""
    waiting, since = stack.waiting(), time.monotonic()
    while waiting:
        time.sleep(0.2)
        if (now := stack.waiting()) != waiting:
            waiting, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK_SECONDS:
            raise RuntimeError(f"{waiting} entries wait, and none is counted.")


def check_agreement(stack: Stack, acknowledged: int, in_flight: int) -> None:
    """RuntimeError where what was acknowledged and what is counted is not the same.

    in_flight: at most so many events more: of requests that the load's end cut off.
    """
    with stack.service("counter"):
        drain(stack)
    stack.verify()
    delivery = stack.ask(lambda redis: read_delivery(redis, 0))
    accepted = delivery.accepted
    if not acknowledged <= accepted <= acknowledged + in_flight:
        raise RuntimeError(f"{acknowledged} events were acknowledged, {accepted} accepted: the run is void.")
    if delivery.counted != accepted:
        raise RuntimeError(f"{accepted} events were accepted, {delivery.counted} counted: the run is void.")


def single(folder: Path, options: Options) -> tuple[list[Result], list[Tails]]:
    """Row a."""
    requests = write_requests(folder / "single.lua", posts([SITE]))
    acknowledged = runs = 0
    ours, limits = [], []
    with fastest(requests, PATH, 202, 0, options.seconds) as (server, limit), ingesting(folder) as (stack, ingest):
        acknowledged += load(ingest.url + PATH, requests, options.seconds).requests
        for _ in range(options.rounds):
            limits.append(load(limit + PATH, requests, options.seconds).rate)
            done = load(ingest.url + PATH, requests, options.seconds)
            ours.append(done.rate)
            acknowledged += done.requests
            runs += 1
        half = load(ingest.url + PATH, requests, options.seconds, rate=median(ours) / 2)
        acknowledged += half.requests
        ingest.stop()
        check_agreement(stack, acknowledged, CONNECTIONS * (runs + 2))
    result = compared("a", "single events, 256 connections", "events/s", ours, f"{server}, empty 202", limits, 0.5, 0.7)
    return [result], [Tails("a", half.rate, half.p50, half.p99, half.p999)]


def arrays(folder: Path, options: Options) -> list[Result]:
    """Row b."""
    requests = list(posts([SITE], ARRAY))
    file = write_requests(folder / "arrays.lua", requests)
    bodies = [request.text.partition("\r\n\r\n")[2].encode() for request in requests]
    acknowledged = 0
    ours, limits = [], []
    with ingesting(folder) as (stack, ingest):
        for turn in range(options.rounds + 1):
            limit = bare(bodies, options.seconds / 2)
            done = load(ingest.url + PATH, file, options.seconds, connections=_ARRAY_CONNECTIONS)
            acknowledged += done.requests * ARRAY
            if turn:  # the first is the warm-up
                limits.append(limit)
                ours.append(done.rate * ARRAY)
        ingest.stop()
        check_agreement(stack, acknowledged, _ARRAY_CONNECTIONS * ARRAY * (options.rounds + 1))
    return [compared("b", f"arrays of {ARRAY}", "events/s", ours, "decode and encode", limits, 0.5, 0.7)]


def bare(bodies: Sequence[bytes], seconds: float) -> float:
    """Events a second that a loop decodes from JSON and encodes as msgpack."""
    decode, encode = msgspec.json.Decoder(list[Event]).decode, msgspec.msgpack.Encoder().encode
    events = 0
    begin = time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        for body in bodies:
            encode(decode(body))
        events += len(bodies) * ARRAY
    return events / took


def main(options: Options) -> tuple[list[Result], list[Tails]]:
    with TemporaryDirectory() as folder:
        results, tails = single(Path(folder), options)
    print(table(results, tails))
    with TemporaryDirectory() as folder:
        return [*results, *arrays(Path(folder), options)], tails


if __name__ == "__main__":
    run(main)
