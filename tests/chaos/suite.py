"""Runs side by side, in processes of their own, and what they come to together."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import msgspec

from tests.chaos.run import Result, Spec
from tests.chaos.world import Backend
from tests.support.truycap import ROOT

KILLS_PER_RUN = 40
_SECONDS_PER_FAULT = 15
_SECONDS = 120


def plan(kills: int, seed: str) -> list[Spec]:
    """The runs that a number of kills is split into, each backend in turn."""
    backends = list(Backend)
    runs = max(len(backends), round(kills / KILLS_PER_RUN))
    shares = [kills // runs + (number < kills % runs) for number in range(runs)]
    return [Spec(f"{seed}:{n}", backends[n % len(backends)], share) for n, share in enumerate(shares)]


async def carry_out(specs: Sequence[Spec], jobs: int = os.cpu_count() or 1) -> AsyncIterator[Result]:
    """The results, as they come; `jobs` runs at a time."""
    places = asyncio.Semaphore(jobs)

    async def one(spec: Spec) -> Result:
        async with places:
            return await run_apart(spec)

    for done in asyncio.as_completed([one(spec) for spec in specs]):
        yield await done


async def run_apart(spec: Spec) -> Result:
    """A run in a process of its own. The folder of one that found something is kept, and named in its violations."""
    folder = Path(tempfile.mkdtemp(prefix="truycap-chaos-"))
    result: Result | None = None
    process = await asyncio.create_subprocess_exec(
        *_own_mounts(),
        sys.executable,
        "-m",
        "tests.chaos.run",
        str(folder),
        msgspec.json.encode(spec).decode(),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        seconds = _SECONDS + _SECONDS_PER_FAULT * max(spec.kills, spec.faults)
        said, complaints = await asyncio.wait_for(process.communicate(), seconds)
        result = msgspec.json.decode(said, type=Result)
    except (TimeoutError, msgspec.DecodeError) as error:
        complaints = b"" if isinstance(error, TimeoutError) else complaints
        result = Result(spec, [f"the run gave no result: {error!r} {complaints.decode()[-2000:]}"])
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # its servers and services are of its group
            await process.wait()
        if result is None:  # it was stopped
            shutil.rmtree(folder, ignore_errors=True)
    if not result.violations or spec.sabotage:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        result.violations.append(f"logs: {folder}")
    return result


def _own_mounts() -> list[str]:
    """What lets a run mount the small disks that it fills, and takes them away with it; nothing where not allowed."""
    for prefix in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        probe = [*prefix, "mount", "-t", "tmpfs", "truycap-probe", "/tmp"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return prefix
    return []


def summary(results: Iterable[Result], command: str) -> str:
    """What all runs came to, in Markdown."""
    results = list(results)
    faults, missed, recoveries = Counter[str](), Counter[str](), defaultdict[str, list[float]](list)
    for result in results:
        faults.update(result.faults)
        missed.update(result.missed)
        for name, seconds in result.recoveries.items():
            recoveries[name] += seconds
    everything = [seconds for found in recoveries.values() for seconds in found]
    lines = [
        f"    {command}",
        "",
        "| | |",
        "|---|---|",
        f"| processes ended with SIGKILL | {sum(result.kills for result in results):,} |",
        f"| faults in all | {faults.total():,} |",
        f"| events sent | {sum(result.events for result in results):,} |",
        f"| counted page views and votes | {sum(result.stored for result in results):,} |",
        f"| events answered 202, with resends and pings | {sum(result.accepted for result in results):,} |",
        f"| came again and counted once (`duplicate`) | {sum(result.duplicates for result in results):,} |",
        f"| dead letters of poison put in on purpose | {sum(result.dead for result in results):,} |",
        f"| slowest answer of ingest | {max((result.slowest for result in results), default=0.0):.1f} s |",
        f"| refused with 503 and sent again | {sum(result.refused.get('503', 0) for result in results):,} |",
        f"| lost, twice, or wrong | {sum(len(result.violations) for result in results):,} |",
        f"| longest recovery, of {len(everything)} measured | {max(everything, default=0.0):.1f} s |",
        f"| runs, and their time together | {len(results)}, {sum(r.seconds for r in results) / 60:,.0f} minutes |",
        "",
        "| fault | times | recovery, median | longest |",
        "|---|---|---|---|",
    ]
    for name in sorted(faults):
        times = sorted(recoveries.get(name, []))
        median = f"{times[len(times) // 2]:.1f} s" if times else ""
        longest = f"{times[-1]:.1f} s" if times else ""
        lines.append(f"| {name} | {faults[name]} | {median} | {longest} |")
    if missed:
        names = ", ".join(f"{name} ({number})" for name, number in sorted(missed.items()))
        lines += ["", f"Tried, but the moment did not come in time: {names}."]
    if not all(result.small_disks for result in results):
        lines += ["", "Left out, for want of the right to mount: full disks."]
    return "\n".join(lines)
