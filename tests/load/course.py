"""The course of a run: more and more users until it is too much, then what was asked for at a share of that."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from tests.load.portal import hours
from tests.load.record import Fault, Phase, Run
from tests.load.tally import between
from tests.load.verdict import PARTS, SETTLING, Step, best, saturated, step

_FIRST_USERS = 300
_GROWTH = 1.5
_STEP_SECONDS = 15.0
_SETTLE_SECONDS = 5.0
_MOST_STEPS = 12
HOLD_SHARE = 0.7
_BASE_SHARE = 0.2
SPIKE = 10
SPIKE_SECONDS = 30.0
_CALM_SECONDS = 75.0
_LEAVE_SECONDS = 30.0
_PER_SECOND = 500
"""Users that begin, at most, in a second."""
_LAST_SECONDS = 120.0


class Course:
    """Leads the users of a runner through the phases of a run, whose seconds and samples grow meanwhile."""

    def __init__(self, runner: Any, run: Run, say: Callable[[str], None]) -> None:
        self.steps: list[Step] = []
        self._runner = runner
        self._run = run
        self._say = say

    def ramp(self, most_users: int) -> None:
        """Until it is too much, or there are so many users."""
        users = _FIRST_USERS
        for _ in range(_MOST_STEPS):
            users = min(users, most_users)
            began = self._phase("ramp", users, _STEP_SECONDS)
            self.steps.append(self._measured(users, began + _SETTLE_SECONDS))
            self._say(told(self.steps[-1]))
            if saturated(self.steps) or users == most_users:
                break
            users = round(users * _GROWTH)

    def hold(self, minutes: float, settle: float, faults: Sequence[Callable[[], None]]) -> Step:
        """A share of the saturation for so many minutes; the faults spread over that time.

        settle: minutes before, of the same.
        """
        users = self._users(HOLD_SHARE)
        self._phase("leaving", users, _LEAVE_SECONDS)  # a visit that has begun goes on for a while
        if settle:
            self._phase(SETTLING, users, settle * 60)
        ends = [gevent.spawn_later(minutes * 60 * (n + 1) / (len(faults) + 1), do) for n, do in enumerate(faults)]
        began = self._phase("hold", users, minutes * 60)
        gevent.joinall(ends)
        held = self._measured(users, began)
        self._say(f"held {minutes:g} minutes: {told(held)}")
        return held

    def day(self, minutes: float) -> None:
        """A day as the log has it, in so many minutes; its busiest hour is what was held."""
        for hour, share in enumerate(hours()):
            users = self._users(HOLD_SHARE * share / max(hours()))
            self._phase(f"{hour} h", users, minutes * 60 / len(hours()))

    def spike(self) -> None:
        """Usual traffic, then ten times as much, then the usual again."""
        usual = self._users(_BASE_SHARE)
        self._phase("before the spike", usual, 20.0)
        began = self._phase("spike", usual * SPIKE, SPIKE_SECONDS)
        self._say(f"spike: {told(self._measured(usual * SPIKE, began))}")
        self._phase("after the spike", usual, _CALM_SECONDS)

    def end(self) -> None:
        """Everybody leaves, and what waits is counted."""
        self._begin("end", 0)
        self._runner.quit()
        ends = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < ends:
            last = self._run.samples[-1]
            if not last.waiting and not last.silent and last.at > self._run.phases[-1].begin + 3:
                break
            gevent.sleep(0.5)
        self._run.phases[-1].end = time.time()

    def note(self, what: str) -> None:
        """Write down what befell a service."""
        self._run.faults.append(Fault(time.time(), what))
        self._say(what)

    def _users(self, share: float) -> int:
        """How many users ask for this share of the saturation: more than it is asked for makes each of them wait."""
        first = self.steps[0]
        return max(1, round(share * best(self.steps).rate / (first.rate / first.users)))

    def _phase(self, name: str, users: int, seconds: float) -> float:
        began = self._begin(name, users)
        gevent.sleep(seconds)
        self._run.phases[-1].end = time.time()
        return began

    def _begin(self, name: str, users: int) -> float:
        phase = Phase(name, users, time.time())
        self._run.phases.append(phase)
        if users:
            self._runner.start(users + self._run.streams, spawn_rate=_PER_SECOND)
        return phase.begin

    def _measured(self, users: int, since: float) -> Step:
        now = time.time()
        return step(users, between(self._run.seconds, since, now), self._run.within(since, now), now - since)


def told(step: Step) -> str:
    """A step in a line."""
    cpu = ", ".join(f"{name} {step.cpu.get(name, 0.0):.2f}" for name in PARTS)
    return (
        f"{step.users:,} users: {step.rate:,.0f} events/s, p50 {step.p50:.0f} ms, p95 {step.p95:.0f} ms, "
        f"p99 {step.p99:.0f} ms, shed {step.shed:.1%}, no answer {step.lost:.1%}, "
        f"oldest waits {step.oldest:.1f} s; cores: {cpu}"
    )
