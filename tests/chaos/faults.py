"""What is done to a running truycap. Every fault is over, and all that it ended is starting again, when it returns.

A fault returns how many processes it ended with SIGKILL, or raises `MissedError` where the moment did not come.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from redis.exceptions import RedisError

import shared.redis
from services.counter.lease import LEASE_MS
from tests.chaos.asleep import asleep, send
from tests.chaos.points import MissedError, Point
from tests.chaos.progress import HEALED_SECONDS, recovered
from tests.chaos.proxy import Mode
from tests.chaos.service import Service
from tests.chaos.world import Backend, World
from tests.support.servers import free_port

POINT_SECONDS = 12.0
"""How long a process may take to come to a point: longer than a lease, a start and a take-over."""
REFUSAL_SECONDS = 40.0
"""To begin takes long where the machine is busy, and only a counter that does not refuse lets one wait so long."""
_LONGER_THAN_A_LEASE = LEASE_MS / 1000 + 1.5
_OUTAGE_SECONDS = (0.5, 2.5)

_AFTER_A_DEATH = {Point.RECOVERING, Point.LEVELLING, Point.RECOVERED_INSERTED}

Fault = Callable[[World, Random], Awaitable[int]]


def faults(world: World) -> dict[str, Fault]:
    """All that can be done to this world, by name."""
    found: dict[str, Fault] = {
        "kill an ingest worker": kill_worker,
        "kill ingest": partial(kill, pick=lambda world: [world.ingest]),
        "kill a counter": partial(kill, pick=lambda world: world.counters),
        "kill all counters": kill_all_counters,
        "kill the api": partial(kill, pick=lambda world: [world.api]),
        "kill Redis (it loads its AOF)": kill_redis,
        "kill everything at once": kill_everything,
        "a take-over that dies": kill_take_over,
        "a take-over that dies after its insert": partial(kill_take_over, at=Point.RECOVERED_INSERTED),
        "a take-over that dies between table and roll-ups": partial(kill_take_over, at=Point.LEVELLING),
        "a take-over that falls asleep between table and roll-ups": stop_take_over,
        "stop a counter for longer than its lease": stop_counter,
        "Redis hangs": hang_redis,
        "Redis is a replica (READONLY)": read_only_redis,
        "Redis is out of memory": full_redis,
        "rolling restart": rolling_restart,
    }
    for point in Point:
        if point not in _AFTER_A_DEATH:
            found[f"kill at: {point}"] = partial(kill_at, point=point)
    for point in (Point.BEFORE_INSERT, Point.INSERTED, Point.APPLYING):
        found[f"stop at: {point}"] = partial(stop_at, point=point)
    if world.backend is Backend.HTTP:
        found |= {
            "kill ClickHouse": kill_clickhouse,
            "kill ClickHouse during an insert": kill_clickhouse_inserting,
            "ClickHouse refuses": partial(cut, mode=Mode.REFUSE),
            "ClickHouse hangs": partial(cut, mode=Mode.HANG),
            "ClickHouse commits and its reply is lost": lose_reply,
            "more counters for the same shards": more_counters,
        }
    else:
        found["a second counter on the same chDB folder"] = second_chdb_counter
    if world.disks.there:
        found["disk full: ClickHouse"] = full_disk_clickhouse
        found["disk full: Redis"] = full_disk_redis
    return found


async def kill(world: World, random: Random, *, pick: Callable[[World], list[Service]]) -> int:
    """SIGKILL of one of these at a random moment."""
    return int(random.choice(pick(world)).kill())


async def kill_worker(world: World, random: Random) -> int:
    """SIGKILL of one of ingest's workers; its parent starts another."""
    workers = world.ingest.children()
    if not workers:
        raise MissedError
    return send(random.choice(workers), signal.SIGKILL)


async def kill_all_counters(world: World, _: Random) -> int:
    return sum([counter.kill() for counter in world.counters])


async def kill_redis(world: World, random: Random) -> int:
    await asyncio.to_thread(world.redis.kill)
    await asyncio.sleep(random.uniform(0, 1))
    await asyncio.to_thread(world.redis.start)
    return 1


async def kill_clickhouse(world: World, random: Random) -> int:
    await asyncio.to_thread(world.clickhouse.kill)
    await asyncio.sleep(random.uniform(0, 1))
    await asyncio.to_thread(world.clickhouse.start)
    return 1


async def kill_clickhouse_inserting(world: World, random: Random) -> int:
    """Within the milliseconds that an insert takes: the table may have it, and some of the roll-ups not."""
    world.proxy.inserting.clear()
    try:
        await asyncio.wait_for(world.proxy.inserting.wait(), POINT_SECONDS)
    except TimeoutError:
        raise MissedError from None
    await asyncio.sleep(random.uniform(0, 0.03))
    return await kill_clickhouse(world, random)


async def kill_everything(world: World, _: Random) -> int:
    """As when the machine's power goes, but for what the disk had not got (nothing: the page cache lives on)."""
    killed = sum([service.kill() for service in world.services])
    await asyncio.to_thread(world.redis.kill)
    if world.backend is Backend.HTTP:
        await asyncio.to_thread(world.clickhouse.kill)
        await asyncio.to_thread(world.clickhouse.start)
        killed += 1
    await asyncio.to_thread(world.redis.start)
    return killed + 1


async def kill_at(world: World, random: Random, *, point: Point) -> int:
    """SIGKILL of whoever comes to the point; a little after it where the point is the beginning of something."""
    delay = random.uniform(0, 0.03) if point in {Point.INSERTING, Point.APPLYING, Point.TAKING_SHARD} else 0.0
    world.armoury.arm(point, delay=delay)
    killed = int(point is Point.TAKING_SHARD and world.counters[0].kill())
    if await world.armoury.hit(point, POINT_SECONDS) is None:
        raise MissedError
    await asyncio.sleep(delay)
    return killed + 1


async def kill_take_over(world: World, _: Random, *, at: Point = Point.RECOVERING) -> int:
    """A counter dies with a batch in its hands, and so does who takes it over."""
    first = Point.BATCH_READ if at is Point.RECOVERING else Point.INSERTED
    world.armoury.arm(at)
    world.armoury.arm(first)
    if await world.armoury.hit(first, POINT_SECONDS) is None:
        await world.armoury.hit(at, 0)
        raise MissedError
    if await world.armoury.hit(at, POINT_SECONDS) is None:
        return 1
    return 2


async def stop_counter(world: World, random: Random) -> int:
    """SIGSTOP at a random moment; when it wakes up, its shards are in other hands."""
    counter = random.choice(world.counters)
    pid = counter.pid
    if pid is None:
        raise MissedError
    await asleep(pid, partial(_in_other_hands, world), already=False)
    return 0


async def stop_at(world: World, _: Random, *, point: Point) -> int:
    """The same at a point: what it wants to do next is what it may not do any more."""
    world.armoury.arm(point, number=signal.SIGSTOP)
    pid = await world.armoury.hit(point, POINT_SECONDS)
    if pid is None:
        raise MissedError
    await asleep(pid, partial(_in_other_hands, world), already=True)
    return 0


async def stop_take_over(world: World, _: Random) -> int:
    """A counter dies after its insert; who takes over falls asleep before it levels the roll-ups, and wakes up late."""
    world.armoury.arm(Point.LEVELLING, number=signal.SIGSTOP)
    world.armoury.arm(Point.INSERTED)
    if await world.armoury.hit(Point.INSERTED, POINT_SECONDS) is None:
        if pid := await world.armoury.hit(Point.LEVELLING, 0):
            send(pid, signal.SIGCONT)  # it was an earlier fault's take-over that came to it
        raise MissedError
    if pid := await world.armoury.hit(Point.LEVELLING, POINT_SECONDS):
        await asleep(pid, partial(_in_other_hands, world), already=True)
    return 1


async def hang_redis(world: World, random: Random) -> int:
    await asleep(world.redis.pid, partial(asyncio.sleep, random.uniform(*_OUTAGE_SECONDS)), already=False)
    return 0


async def read_only_redis(world: World, random: Random) -> int:
    await _tell_redis(world, "REPLICAOF", "127.0.0.1", str(free_port()))
    await asyncio.sleep(random.uniform(*_OUTAGE_SECONDS))
    await _tell_redis_at_last(world, "REPLICAOF", "NO", "ONE")
    return 0


async def full_redis(world: World, random: Random) -> int:
    await _tell_redis(world, "CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(random.uniform(*_OUTAGE_SECONDS))
    await _tell_redis_at_last(world, "CONFIG", "SET", "maxmemory", "0")
    return 0


async def cut(world: World, random: Random, *, mode: Mode) -> int:
    """An outage of ClickHouse, or of the network on the way to it."""
    world.proxy.set(mode)
    await asyncio.sleep(random.uniform(*_OUTAGE_SECONDS))
    world.proxy.set(Mode.PASS)
    return 0


async def lose_reply(world: World, _: Random) -> int:
    """Some inserts are committed, and the counter does not hear of it."""
    before = world.proxy.replies_lost
    world.proxy.set(Mode.LOSE_REPLY)
    ends = time.monotonic() + POINT_SECONDS
    while world.proxy.replies_lost < before + 3 and time.monotonic() < ends:
        await asyncio.sleep(0.02)
    world.proxy.set(Mode.PASS)
    if world.proxy.replies_lost == before:
        raise MissedError
    return 0


async def more_counters(world: World, random: Random) -> int:
    """Two more counters start at the same moment as one that was there is killed; then they die too."""
    extra = [world.extra_counter(), world.extra_counter()]
    killed = int(random.choice(world.counters).kill())
    try:
        for counter in extra:
            counter.start()
        await asyncio.gather(*(counter.ready() for counter in extra))
        await asyncio.sleep(random.uniform(0, 2))
    finally:
        for counter in extra:
            await counter.abandon()
    return killed + len(extra)


async def second_chdb_counter(world: World, _: Random) -> int:
    """It must refuse, loudly, for the folder belongs to one process at a time."""
    first, second = world.counters[0].pid, world.extra_counter()
    await world.counters[0].ready()
    second.start()
    try:
        ends = time.monotonic() + REFUSAL_SECONDS
        while not second.refusals and time.monotonic() < ends:
            await asyncio.sleep(0.05)
    finally:
        await second.abandon()
    if not second.refusals:
        if first != world.counters[0].pid:
            raise MissedError  # the first one had just died
        raise AssertionError("a second counter has opened the chDB folder that another has")
    return 0


async def rolling_restart(world: World, _: Random) -> int:
    """SIGTERM to each in turn; each ends in good order and is started again."""
    for service in world.services:
        starts = service.starts
        await service.restart()
        while service.starts == starts:
            await asyncio.sleep(0.02)
        await service.ready()
    return 0


async def full_disk_clickhouse(world: World, random: Random) -> int:
    """Afterwards ClickHouse is started again, as docs/reliability.md says: a merge may have been broken meanwhile."""
    world.disks.fill(world.clickhouse.folder)
    await asyncio.sleep(random.uniform(*_OUTAGE_SECONDS))
    world.disks.free(world.clickhouse.folder)
    if world.backend is Backend.HTTP:
        await asyncio.to_thread(world.clickhouse.kill)
        await asyncio.to_thread(world.clickhouse.start)
        return 1
    return int(world.counters[0].kill())


async def full_disk_redis(world: World, random: Random) -> int:
    """With AOF always, Redis ends itself where it cannot write; started again, it cuts off what it had half written."""
    world.disks.fill(world.redis.folder)
    await asyncio.sleep(random.uniform(*_OUTAGE_SECONDS))
    world.disks.free(world.redis.folder)
    if not await _redis_answers(world):
        await asyncio.to_thread(world.redis.kill)
        await asyncio.to_thread(world.redis.start)
    return 0


async def _in_other_hands(world: World) -> None:
    """Returns when other counters count all shards, or where there are none, when the lease is over."""
    await asyncio.sleep(_LONGER_THAN_A_LEASE)
    if world.backend is Backend.HTTP:
        await recovered(world.redis.url)


async def _tell_redis(world: World, *words: str) -> None:
    redis: Any = shared.redis.client(world.redis.url, timeout=5.0)
    try:
        await redis.execute_command(*words)
    finally:
        await redis.aclose()


async def _tell_redis_at_last(world: World, *words: str) -> None:
    """Until it has heard: what was done to it must not stay."""
    async with asyncio.timeout(HEALED_SECONDS):
        while True:
            with suppress(RedisError, OSError):
                return await _tell_redis(world, *words)
            await asyncio.sleep(0.1)


async def _redis_answers(world: World) -> bool:
    with suppress(RedisError, OSError, AssertionError):
        await _tell_redis(world, "SET", "chaos", "1")
        return True
    return False
