"""One run: a world, traffic, faults one after the other, then the look at what was counted.

    python -m tests.chaos.run FOLDER '{"seed": "1:0", "backend": "over HTTP", "kills": 30}'

prints a Result as JSON. A run of its own process each, so that they can go side by side.
"""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
from redis.exceptions import RedisError

import shared.redis
from shared.delivery import read_delivery
from tests.chaos.check import violations
from tests.chaos.faults import Fault, faults
from tests.chaos.ledger import Ledger
from tests.chaos.points import MissedError
from tests.chaos.progress import recovered
from tests.chaos.sabotage import Sabotage
from tests.chaos.traffic import Traffic
from tests.chaos.watch import Watcher
from tests.chaos.world import SHARDS, Backend, World

_LAST_SECONDS = 2.0
"""Traffic goes on for so long after the last fault: who woke up in it may still do harm."""


class Spec(msgspec.Struct, frozen=True):
    """What to do. kills: processes to end with SIGKILL, at least; faults: faults to do, at least; only: none but these;
    seed: decides their order."""

    seed: str
    backend: Backend
    kills: int
    faults: int = 0
    only: list[str] = []
    sabotage: Sabotage | None = None
    quiet: float = 60.0
    """Seconds that the counters may take to count all that waits once nothing is done to them any more."""


class Result(msgspec.Struct):
    """What came of it. faults: how often each was done; missed: how often its moment did not come.

    recoveries: seconds from a fault's end until every shard had counted what came after it, by fault.
    """

    spec: Spec
    violations: list[str]
    seconds: float = 0.0
    kills: int = 0
    faults: dict[str, int] = {}
    missed: dict[str, int] = {}
    recoveries: dict[str, list[float]] = {}
    events: int = 0
    accepted: int = 0
    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    rejected: int = 0
    small_disks: bool = True
    refused: dict[str, int] = {}
    slowest: float = 0.0


async def run(spec: Spec, folder: Path) -> Result:
    """Do it; exceptions of the suite itself are violations too, for a run that broke off has proven nothing."""
    result = Result(spec, [])
    started = time.monotonic()
    world = World(folder, spec.backend, spec.sabotage)
    try:
        await _do(spec, world, result)
    except Exception as error:
        result.violations.append(f"the run broke off: {type(error).__name__}: {error}")
    finally:
        await world.close()
    result.seconds = time.monotonic() - started
    return result


async def _do(spec: Spec, world: World, result: Result) -> None:
    random = Random(spec.seed)
    ledger = Ledger()
    result.small_disks = world.disks.there
    await world.open()
    traffic = Traffic(world.ingest.url, world.redis.url, world.sites, random, ledger)
    traffic.start()
    await asyncio.sleep(0.5)  # some events are accepted before any counter was ever there
    await world.start_counters()
    watcher = Watcher(world.api.url, list(world.sites))
    watching = asyncio.create_task(watcher.run())
    try:
        await _faults(spec, world, random, result)
    finally:
        await traffic.stop()
        await _until_counted(world, spec.quiet)
        if watching.done():
            result.violations.append(f"whoever looked at the block went away: {watching.exception()!r}")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await asyncio.gather(*(service.stop() for service in world.services))
    if not spec.sabotage:
        verified = await asyncio.to_thread(world.command, "verify")
        if verified.returncode != 0:
            result.violations.append(f"truycap verify: {verified.stdout}{verified.stderr}")
    stored, shown = await world.stored(), await world.shown()
    result.violations += violations(ledger, stored, shown, world.zones)
    result.violations += watcher.violations + ["the block never showed anything"] * watcher.saw_nothing
    ends = [*world.odd, *world.ingest.odd_workers()]
    result.violations += [f"{end.name} ended by itself with {end.code}: {end.said}" for end in ends]
    result.events, result.accepted, result.stored = len(ledger.events), ledger.accepted, len(stored.events)
    delivery = [fields for name, fields in shown.hashes.items() if name.startswith("delivery")]
    result.duplicates = sum(int(fields.get("rejected:duplicate", 0)) for fields in delivery)
    result.rejected = sum(int(n) for fields in delivery for name, n in fields.items() if name.startswith("rejected:"))
    result.dead = sum(shown.dead.values())
    result.refused, result.slowest = dict(ledger.refused), ledger.slowest


async def _faults(spec: Spec, world: World, random: Random, result: Result) -> None:
    """From a shuffled deck of all faults, again and again: so each comes up."""
    known = faults(world)
    names = [name for name in known if not spec.only or name in spec.only]
    done, missed, recoveries = Counter[str](), Counter[str](), dict[str, list[float]]()
    deck: list[str] = []
    while result.kills < spec.kills or done.total() + missed.total() < spec.faults:
        if not deck:
            deck = random.sample(names, len(names))
        name = deck.pop()
        own = Random(random.random())
        try:
            result.kills += await _one(known[name], world, own)
            done[name] += 1
        except MissedError:
            missed[name] += 1
            continue
        if own.random() < 0.5:
            recoveries.setdefault(name, []).append(await recovered(world.redis.url))
        else:  # the next one comes while this one is still being mended
            await asyncio.sleep(own.uniform(0, 1))
    await asyncio.sleep(_LAST_SECONDS)
    result.faults, result.missed, result.recoveries = dict(done), dict(missed), recoveries


async def _one(fault: Fault, world: World, random: Random) -> int:
    try:
        return await fault(world, random)
    except (RedisError, OSError) as error:
        raise MissedError(repr(error)) from None  # what it wanted to do something to was still down


async def _until_counted(world: World, seconds: float) -> None:
    """Returns when nothing waits, or the time is over: what then still waits will be seen by the check."""
    redis = shared.redis.client(world.redis.url)
    ends = time.monotonic() + seconds
    try:
        while any([(await read_delivery(redis, shard)).waiting for shard in range(SHARDS)]) and time.monotonic() < ends:
            await asyncio.sleep(0.1)
    finally:
        await redis.aclose()


def main() -> None:
    spec = msgspec.json.decode(sys.argv[2], type=Spec)
    result = asyncio.run(run(spec, Path(sys.argv[1])))
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
