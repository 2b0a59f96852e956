"""The faults: each is a context manager that causes one and, on leaving, mends it."""

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

from shared.streams import dead_key, delivery_key, events_key
from tests.ops.world import DISK, MEMORY, STREAMS, World
from tests.support.meanwhile import meanwhile
from tests.support.servers import Server

Cause = Callable[[World], AbstractContextManager[None]]


class Fault(NamedTuple):
    """alerts: which must fire, as `name` or `name/job`; along: which others may. mounted: it needs a small disk."""

    what: str
    alerts: list[str]
    cause: Cause
    along: frozenset[str] = frozenset()
    mounted: bool = False


def dead(job: str, *, forgotten: bool) -> Cause:
    """SIGKILL to a service. forgotten: its address is gone too, as Docker's names are."""

    @contextmanager
    def cause(world: World) -> Iterator[None]:
        world.kill(job)
        if forgotten:
            world.prometheus.target(job, [])
        try:
            yield
        finally:
            world.start(job)
            world.prometheus.target(job, world.ports(job))

    return cause


def killed(server: Callable[[World], Server]) -> Cause:
    """SIGKILL to what is not truycap's own."""

    @contextmanager
    def cause(world: World) -> Iterator[None]:
        server(world).kill()
        try:
            yield
        finally:
            server(world).start()

    return cause


def redis_frozen(world: World) -> AbstractContextManager[None]:
    return world.frozen(world.redis_server.pid)


@contextmanager
def event_lost(world: World) -> Iterator[None]:
    """Accepted entries are deleted before a counter reads them."""
    counters = [world.services.processes[name].pid for name in ("counter", "counter2")]
    with world.frozen(*counters):
        time.sleep(1.5)  # their blocking reads have ended, so the next entry goes to nobody
        world.send("hanoi", 1)
        for shard in (0, 1):
            world.redis.xtrim(events_key(shard), maxlen=0, approximate=False)
    try:
        yield
    finally:
        for shard in (0, 1):
            lost = next(
                int(found["value"][1])
                for found in world.prometheus.query("truycap_delivery_difference_events")
                if found["metric"]["shard"] == str(shard)
            )
            world.redis.hincrby(delivery_key(shard), "accepted", -lost)


@contextmanager
def entries_from_the_future(world: World) -> Iterator[None]:
    """60 entries of a version that this counter does not know: more than half of the ceiling of 100."""
    with world.redis.pipeline(transaction=True) as transaction:
        for _ in range(60):
            transaction.xadd(events_key(0), {"v": "9", "n": "1", "events": ""})
        transaction.hincrby(delivery_key(0), "accepted", 60)
        transaction.execute()
    try:
        yield
    finally:
        for site in ("hanoi", "hue"):
            for _ in range(8):
                world.send(site, 500)  # 100 good events make up for one letter
        world.redis.xtrim(dead_key(0), maxlen=0, approximate=False)


@contextmanager
def redis_pauses(world: World) -> Iterator[None]:
    """Redis answers everything up to 0.4 s late."""
    with meanwhile(lambda: world.redis.client_pause(400), 0.02):
        yield


@contextmanager
def clickhouse_stutters(world: World) -> Iterator[None]:
    """ClickHouse stands still for 7 seconds of 8."""

    def stop() -> None:
        with world.frozen(world.clickhouse.pid):
            time.sleep(7)

    with meanwhile(stop, 1):
        yield


@contextmanager
def worker_dies(world: World) -> Iterator[None]:
    """A worker of ingest is killed every six seconds: another is up by then."""
    with meanwhile(lambda: os.kill(world.services.workers("ingest")[0], signal.SIGKILL), 6):
        yield


@contextmanager
def config_broken(world: World) -> Iterator[None]:
    good = world.services.config.read_text("utf-8")
    world.services.config.write_text(good + "[[site", "utf-8")
    try:
        yield
    finally:
        world.services.config.write_text(good, "utf-8")


@contextmanager
def redis_filled(world: World) -> Iterator[None]:
    """Somebody else's data takes most of Redis's memory."""
    world.redis.setrange("filler", int(MEMORY * 0.8), b"x")
    try:
        yield
    finally:
        world.redis.delete("filler")


@contextmanager
def backlog(world: World) -> Iterator[None]:
    """Events come and ClickHouse takes none."""
    with world.frozen(world.clickhouse.pid), meanwhile(lambda: world.send("hanoi", 5), 0.005):
        yield


@contextmanager
def many_readers(world: World) -> Iterator[None]:
    """As many live streams as the api may hold open."""
    url = f"http://127.0.0.1:{world.services.ports['api']}/v1/sites/hanoi/live"
    with ExitStack() as stack:
        for _ in range(STREAMS):
            stack.enter_context(urllib.request.urlopen(url, timeout=3))
        yield


@contextmanager
def disk_filled(world: World) -> Iterator[None]:
    """The disk is filled to nine tenths at once, and then by a megabyte every two seconds."""
    assert world.disk
    filler = world.disk / "filler"
    with filler.open("ab") as file:
        file.truncate(0)
        free = os.statvfs(world.disk)
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - DISK // 10)

        def grow() -> None:
            file.write(b"x" * 2**20)
            file.flush()

        with ExitStack() as stack:
            stack.callback(filler.unlink)
            stack.enter_context(meanwhile(grow, 2))
            yield


SLOW = frozenset({"TruycapSlow", "TruycapVisibleLate"})
FAULTS = [
    Fault("kill -9 of ingest", ["TruycapServiceDown/ingest"], dead("ingest", forgotten=False)),
    Fault("kill -9 of both counters", ["TruycapServiceDown/counter"], dead("counter", forgotten=False)),
    Fault("kill -9 of the api, its address gone from DNS", ["TruycapServiceDown/api"], dead("api", forgotten=True)),
    Fault("kill -9 of the gateway", ["TruycapServiceDown/gateway"], killed(lambda world: world.gateway)),
    Fault("accepted entries deleted from the stream (XTRIM)", ["TruycapDeliveryBroken"], event_lost),
    Fault(
        "60 entries of an unknown version on the stream",
        ["TruycapDeadLetters", "TruycapDeadLetterCeilingNear"],
        entries_from_the_future,
    ),
    Fault(
        "Redis stopped (SIGSTOP)",
        ["TruycapRefusesEvents", "TruycapReadModelStale", "TruycapDeliveryUnchecked", "TruycapApiErrors"],
        redis_frozen,
        SLOW,
    ),
    Fault(
        "kill -9 of ClickHouse",
        ["TruycapStoreDown", "TruycapNotCounting", "TruycapStoreFails"],
        killed(lambda world: world.clickhouse),
    ),
    Fault(
        "Redis answers up to 0.4 s late (CLIENT PAUSE)",
        ["TruycapSlow/ingest"],
        redis_pauses,
        SLOW | {"TruycapRefusesEvents"},
    ),
    Fault("ClickHouse stopped for 7 s of every 8 (SIGSTOP)", ["TruycapVisibleLate"], clickhouse_stutters, SLOW),
    Fault("an ingest worker killed every 6 s", ["TruycapRestarts/ingest"], worker_dies),
    Fault("truycap.toml broken", ["TruycapSitesBroken"], config_broken),
    Fault("Redis's memory filled by somebody else", ["TruycapRedisMemory"], redis_filled),
    Fault("ClickHouse stopped, under load", ["TruycapBacklogFills"], backlog, SLOW),
    Fault("every live stream taken", ["TruycapLiveFull"], many_readers),
    Fault("the disk under ClickHouse filled", ["TruycapDiskLow", "TruycapDiskFills"], disk_filled, SLOW, mounted=True),
]
