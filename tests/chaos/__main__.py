"""make chaos KILLS=1000 SEED=s: kill a real truycap at random and at named points, and count from the ids."""

import argparse
import asyncio
import os
import re
import secrets
import sys
from pathlib import Path

from shared.ending import STOP_SIGNALS
from tests.chaos.run import Result
from tests.chaos.suite import carry_out, plan, summary

_BLOCK = re.compile(r"(<!-- chaos -->\n).*?(<!-- /chaos -->)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="processes to end with SIGKILL (default: 200)")
    parser.add_argument("--seed", default=secrets.token_hex(3), help="decides what is done and when (default: random)")
    parser.add_argument("--run", type=int, help="only this run of the plan, as a failing one names it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time (default: one per core)")
    parser.add_argument("--report", type=Path, help="write the summary into this file, between its chaos marks")
    options = parser.parse_args()
    runs = len(plan(options.kills, options.seed))
    if min(options.kills, options.jobs) < 1:
        parser.error("--kills and --jobs must be 1 or more")
    if options.run is not None and not 0 <= options.run < runs:
        parser.error(f"--run must be 0 to {runs - 1}: so many runs are {options.kills} kills")
    if options.report and not (options.report.is_file() and _BLOCK.search(options.report.read_text("utf-8"))):
        parser.error(f"--report {options.report}: there must be such a file, with the marks of chaos in it")
    command = f"make chaos KILLS={options.kills} SEED={options.seed}"
    print(command, flush=True)
    try:
        results = asyncio.run(_all(options, command))
    except asyncio.CancelledError:
        print("Stopped; so is all that it had started.")
        return 130
    text = summary(results, command)
    print(f"\n{text}")
    if options.report:
        page = options.report.read_text("utf-8")
        options.report.write_text(_BLOCK.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page), "utf-8")
    failed = [result for result in results if result.violations]
    return 1 if failed else 0


async def _all(options: argparse.Namespace, command: str) -> list[Result]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task
    for stop in STOP_SIGNALS:
        loop.add_signal_handler(stop, task.cancel)
    specs = plan(options.kills, options.seed)
    chosen = specs if options.run is None else [specs[options.run]]
    results = []
    async for result in carry_out(chosen, options.jobs):
        results.append(result)
        number = specs.index(result.spec)
        verdict = "nothing lost, nothing twice" if not result.violations else f"{len(result.violations)} VIOLATIONS"
        print(
            f"run {number}, {result.spec.backend}: {result.kills} kills, {sum(result.faults.values())} faults, "
            f"{result.events:,} events, {result.seconds:.0f} s: {verdict}",
            flush=True,
        )
        for line in result.violations:
            print(f"  {line}", flush=True)
        if result.violations:
            print(f"  again: {command} RUN={number}", flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
