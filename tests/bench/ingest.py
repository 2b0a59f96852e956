"""Row a: what one ingest process accepts of single events, against a server that does nothing.

python -m tests.bench.ingest [--rounds 5] [--seconds 4]
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from shared.delivery import read_delivery
from tests.bench.limit import fastest
from tests.bench.load import CONNECTIONS, load
from tests.bench.options import Measured, Options, VoidError, run
from tests.bench.requests import posts, write_requests
from tests.bench.result import Tails, compared
from tests.bench.traffic import HOST
from tests.support.servers import RedisServer
from tests.support.stack import Stack, configured
from tests.support.truycap import Service

SITE = "portal"
CONFIG = configured([SITE], HOST)
PATH = "/v1/events"
_STUCK_SECONDS = 60


@contextmanager
def ingesting(folder: Path) -> Iterator[tuple[Stack, Service]]:
    """One ingest process with its Redis, behind a proxy that it trusts."""
    with RedisServer(folder / "redis") as redis:
        stack = Stack(folder, redis, f"chdb://{folder}/store", sites=CONFIG, TRUYCAP_TRUSTED_PROXIES="127.0.0.1")
        stack.migrate()
        with stack.service("ingest") as service:
            yield stack, service


def drain(ask: Callable[[], int]) -> None:
    """Wait until nothing waits; VoidError where for a minute no entry was counted. ask: how many entries wait."""
    waiting, since = ask(), time.monotonic()
    while waiting:
        time.sleep(0.2)
        if (now := ask()) != waiting:
            waiting, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK_SECONDS:
            raise VoidError(f"{waiting} entries wait, and none is counted.")


def check_agreement(stack: Stack, acknowledged: int, in_flight: int) -> None:
    """VoidError where what was acknowledged and what is counted is not the same.

    in_flight: at most so many events more: of requests that the load's end cut off.
    """
    with stack.service("counter"):
        drain(stack.waiting)
    stack.verify()
    delivery = stack.ask(lambda redis: read_delivery(redis, 0))
    accepted = delivery.accepted
    if not acknowledged <= accepted <= acknowledged + in_flight:
        raise VoidError(f"{acknowledged} events were acknowledged, {accepted} accepted: the run is void.")
    if delivery.counted != accepted:
        raise VoidError(f"{accepted} events were accepted, {delivery.counted} counted: the run is void.")


def single(folder: Path, options: Options) -> Measured:
    """Row a."""
    requests = write_requests(folder / "single.lua", posts([SITE]))
    acknowledged = 0
    ours, limits = [], []
    with fastest(requests, PATH, 202, 0, options.seconds) as (server, limit), ingesting(folder) as (stack, ingest):
        acknowledged += load(ingest.url + PATH, requests, options.seconds).requests
        for _ in range(options.rounds):
            limits.append(load(limit + PATH, requests, options.seconds).rate)
            done = load(ingest.url + PATH, requests, options.seconds)
            ours.append(done.rate)
            acknowledged += done.requests
        half = load(ingest.url + PATH, requests, options.seconds, rate=median(ours) / 2)
        acknowledged += half.requests
        ingest.stop()
        check_agreement(stack, acknowledged, CONNECTIONS * (options.rounds + 2))
    result = compared("a", "single events, 256 connections", "events/s", ours, f"{server}, empty 202", limits, 0.5, 0.7)
    return [result], [Tails("a", half.rate, half.p50, half.p99, half.p999)]


def main(options: Options) -> Measured:
    """Row a."""
    with TemporaryDirectory() as folder:
        return single(Path(folder), options)


if __name__ == "__main__":
    run(main, __doc__)
