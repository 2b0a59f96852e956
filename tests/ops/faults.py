"""Every alert in the real fault that it is for: python -m tests.ops.faults [PART OF A FAULT'S OR ALERT'S NAME ...]

Causes each fault on real services with a real Prometheus and the real rules (a tenth as patient; tests/ops/world.py
says how), waits until its alerts fire, mends it, and waits until all are resolved. Prints a table; exit code 1 where an
alert does not fire or does not end, or one comes along that has no part in it. It takes a quarter of an hour, runs on
loopback alone and ends only what it started. As root it mounts a small disk and fills it; else that fault is left out,
and the table says so.
"""

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.ops.causes import FAULTS, Fault
from tests.ops.world import RULES, World, wait

FIRES_SECONDS = 180.0
RESOLVED_SECONDS = 240.0


class Outcome(NamedTuple):
    """fired: after how many seconds, by alert; along: other alerts; resolved: seconds from mending till all are."""

    fault: Fault
    fired: dict[str, float]
    along: set[str]
    resolved: float | None

    @property
    def good(self) -> bool:
        all_fired = set(self.fault.alerts) == set(self.fired)
        return all_fired and self.along <= self.fault.along and self.resolved is not None


def firing(world: World) -> set[str]:
    """The alerts that fire, by name, and by name/job."""
    labels = [alert["labels"] for alert in world.prometheus.alerts() if alert["state"] == "firing"]
    names = {found["alertname"] for found in labels}
    return names | {f"{found['alertname']}/{found['job']}" for found in labels if "job" in found}


def carry_out(world: World, fault: Fault) -> Outcome:
    """Cause it, wait, mend it, wait. What it finds firing already counts as come along."""
    fired: dict[str, float] = {}
    seen: set[str] = set()
    began = time.monotonic()

    def all_fire() -> bool:
        now = firing(world)
        seen.update(now)
        for alert in now.intersection(fault.alerts):
            fired.setdefault(alert, time.monotonic() - began)
        return len(fired) == len(fault.alerts)

    with fault.cause(world):
        wait(all_fire, FIRES_SECONDS)
        for alert in world.prometheus.alerts():
            print(f"    {alert['state']}: {alert['annotations']['summary']}", flush=True)
    mended = time.monotonic()
    resolved = wait(lambda: not firing(world), RESOLVED_SECONDS)
    expected = {alert.partition("/")[0] for alert in fault.alerts}
    along = {alert for alert in seen if "/" not in alert} - expected
    return Outcome(fault, fired, along, time.monotonic() - mended if resolved else None)


def table(outcomes: list[Outcome], left_out: list[Fault]) -> str:
    lines = ["| fault | fires after | comes along | resolved after |", "|---|---|---|---|"]
    for fault, fired, along, resolved in outcomes:
        names = [f"{name} {fired[name]:.0f} s" if name in fired else f"{name} **never**" for name in fault.alerts]
        ended = "**never**" if resolved is None else f"{resolved:.0f} s"
        lines.append(f"| {fault.what} | {'; '.join(names)} | {', '.join(sorted(along)) or '-'} | {ended} |")
    lines += [f"| {fault.what} | left out: no disk may be mounted here | | |" for fault in left_out]
    return "\n".join(lines)


def main(words: list[str]) -> int:
    chosen = [fault for fault in FAULTS if not words or any(word in f"{fault.what} {fault.alerts}" for word in words)]
    outcomes = []
    with TemporaryDirectory(prefix="truycap-faults-") as folder, ExitStack() as stack:
        world = World(Path(folder), stack)
        left_out = [fault for fault in chosen if fault.mounted and not world.disk]
        # The rates of a world that has just begun say nothing yet.
        assert wait(lambda: bool(world.prometheus.query("truycap_delivery_checked_timestamp_seconds")), 60)
        assert wait(lambda: not world.prometheus.alerts(), 60), "alerts without a fault"
        for fault in chosen:
            if fault not in left_out:
                print(f"{fault.what}:", flush=True)
                outcomes.append(carry_out(world, fault))
                print(f"    {'as it must be' if outcomes[-1].good else 'NOT AS IT MUST BE'}", flush=True)
    print(f"\n{table(outcomes, left_out)}")
    covered = {alert.partition("/")[0] for fault in FAULTS for alert in fault.alerts}
    missing = [name for name in RULES.read_text("utf-8").split() if name.startswith("Truycap") and name not in covered]
    print(f"\nNo fault for: {', '.join(missing) or 'none'}")
    return 0 if all(outcome.good for outcome in outcomes) and not missing else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started and mounted is taken away
    sys.exit(main(sys.argv[1:]))
