"""The course of a run: more and more users until it is too much, then what was asked for at a share of that."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from tests.load.checks import SETTLING, SPIKE
from tests.load.portal import hours
from tests.load.record import Fault, Phase, Run
from tests.load.tally import between
from tests.load.target import TargetError
from tests.load.verdict import PARTS, Step, best, cores, saturation, step

_IDLE_SECONDS = 3.0
_FIRST_USERS = 300
_GROWTH = 1.5
_STEP_SECONDS = 15.0
_SETTLE_SECONDS = 5.0
HOLD_SHARE = 0.7
_BASE_SHARE = 0.12
"""Ten times that is beyond saturation, and not so far that the load has no room to send it."""
_TIMES = 10
_SPIKE_SECONDS = 30.0
_CALM_SECONDS = 75.0
_LEAVE_SECONDS = 30.0
_PER_SECOND = 500
"""Users that begin, at most, in a second; in a spike they all come at once."""
_CHANGE_SECONDS = 60.0
"""In which as many users have begun or left as should."""
_LAST_SECONDS = 120.0


class Course:
    """Leads the users of a runner through the phases of a run, whose seconds and samples grow meanwhile.

    pace: sets how fast readers read, 1.0 being the usual.
    """

    def __init__(self, runner: Any, run: Run, pace: Callable[[float], None], say: Callable[[str], None]) -> None:
        self.steps: list[Step] = []
        self._runner = runner
        self._pace = pace
        self._run = run
        self._say = say

    def idle(self) -> None:
        """What the machine does without the load."""
        began = self._phase("before", 0, _IDLE_SECONDS)
        self._run.idle = cores(self._run.within(began, time.time())).get("machine", 0.0)
        if self._run.busy:
            self._say(
                f"{self._run.idle:.2f} of {self._run.cores} cores are busy before the load comes: whatever else runs "
                "here, it will seem to carry less than it does"
            )

    def ramp(self, most_users: int) -> None:
        """Until it is too much, or there are so many users. TargetError where nothing at all is acknowledged."""
        users = 0
        while not self._run.ramp:
            users = min(round(users * _GROWTH) or _FIRST_USERS, most_users)
            began = self._phase("ramp", users, _STEP_SECONDS)
            self.steps.append(self._measured(users, began + _SETTLE_SECONDS))
            self._say(told(self.steps[-1]))
            everybody = f"it had all of its readers ({users:,})" if users == most_users else ""
            self._run.ramp = saturation(self.steps) or everybody
        if not self.steps[0].rate:
            raise TargetError("No event is acknowledged. Look at ingest's log.")

    def hold(self, minutes: float, settle: float, faults: Sequence[Callable[[], None]]) -> Step:
        """A share of the saturation for so many minutes; the faults spread over that time.

        settle: minutes before, of the same.
        """
        users = self._users(HOLD_SHARE)
        self._phase("leaving", users, _LEAVE_SECONDS)  # a visit that has begun goes on for a while
        if settle:
            self._phase(SETTLING, users, settle * 60)
        began = self._phase("hold", users, minutes * 60, faults)
        held = self._measured(users, began)
        self._say(f"held {minutes:g} minutes: {told(held)}")
        return held

    def day(self, minutes: float) -> None:
        """A day as the log has it, in so many minutes: in its busiest hour readers go on as while it was held."""
        try:
            for hour, share in enumerate(hours()):
                self._pace(share / max(hours()))
                self._phase(f"{hour} h", self._users(HOLD_SHARE), minutes * 60 / len(hours()))
        finally:
            self._pace(1.0)

    def spike(self, faults: Sequence[Callable[[], None]]) -> None:
        """Usual traffic, then ten times as much with the faults spread over it, then the usual again."""
        usual = self._users(_BASE_SHARE)
        before = self._phase("before the spike", usual, 20.0)
        base = self._measured(usual, before)
        began = self._phase(SPIKE, usual * _TIMES, _SPIKE_SECONDS, faults)
        found = self._measured(usual * _TIMES, began)
        self._run.spike = [base.rate, found.rate]
        self._say(f"spike: {told(found)}")
        self._phase("after the spike", usual, _CALM_SECONDS)

    def end(self, send_again: Callable[[], None]) -> None:
        """Everybody leaves, what got no answer is sent again, and what waits is counted."""
        end = Phase("end", 0, time.time())
        self._run.phases.append(end)
        try:
            self._runner.quit()
            send_again()
            left = time.time()
            while time.time() < left + _LAST_SECONDS:
                last = self._run.samples[-1]
                if last.waiting == 0 and not last.silent and last.read_at > left:
                    break
                gevent.sleep(0.5)
        finally:
            end.end = time.time()

    def note(self, what: str, loss: bool) -> None:
        """Write down what befell a service. loss: it is away from now on."""
        self._run.faults.append(Fault(time.time(), what, loss))
        self._say(what)

    def _users(self, share: float) -> int:
        """How many users ask for this share of the saturation: more than it is asked for makes each of them wait."""
        first = self.steps[0]
        top = best(self.steps) or first
        return max(1, round(share * top.rate / (first.rate / first.users)))

    def _phase(self, name: str, users: int, seconds: float, faults: Sequence[Callable[[], None]] = ()) -> float:
        """So many users for so many seconds, once there are so many. Since when there were (Unix time).

        faults: spread over those seconds.
        """
        phase = Phase(name, users, time.time())
        self._run.phases.append(phase)
        everybody = users + self._run.streams
        try:
            now = self._runner.user_count
            # Those who leave are told all at once: locust waits for each lot of them before it tells the next.
            self._runner.start(everybody, max(everybody, now) if name == SPIKE or now > everybody else _PER_SECOND)
            latest = time.time() + _CHANGE_SECONDS
            while self._runner.user_count != everybody and time.time() < latest:
                gevent.sleep(0.05)
            began = time.time()
            ends = [gevent.spawn_later(seconds * (n + 1) / (len(faults) + 1), do) for n, do in enumerate(faults)]
            gevent.sleep(seconds)
            gevent.joinall(ends)
        finally:
            phase.end = time.time()
        return began

    def _measured(self, users: int, since: float) -> Step:
        """What whole seconds since then were."""
        begin, end = math.ceil(since), math.floor(time.time())
        return step(users, between(self._run.seconds, begin, end), self._run.within(begin, end), max(1, end - begin))


def told(step: Step) -> str:
    """A step in a line."""
    cpu = ", ".join(f"{name} {step.cpu.get(name, 0.0):.2f}" for name in PARTS)
    return (
        f"{step.users:,} readers: {step.rate:,.0f} events/s, p50 {step.p50:.0f} ms, p95 {step.p95:.0f} ms, "
        f"p99 {step.p99:.0f} ms, reads p95 {step.reads:.0f} ms, refused {step.shed:.1%}, failed {step.lost:.1%}, "
        f"oldest waits {step.oldest:.1f} s; cores: {cpu}"
    )
