"""What a run says: where it saturates and by what, whether anything was lost or grew, what hardware it takes. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.load.portal import hours
from tests.load.record import Fault, Phase, Run, Sample
from tests.load.tally import CUT_OFF, EVENTS, Second, between, percentile

LATE_MS = 500.0
"""A page view that is acknowledged no sooner holds a browser up that is about to leave the page."""
LAG_SECONDS = 2.0
SHED_SHARE = 0.005
FLAT_SHARE = 0.05
CALM_SECONDS = 60.0
SETTLING = "settling"
"""The phase before one that is held, in which memory fills: who has what open is known for 5 minutes."""
SETTLED_SECONDS = 300.0
_FULL = 0.9
"""Of a core: a program of one thread can do no more."""
_ROOM = 0.6
"""How much of a machine usual traffic may take, so that the unusual has room."""
_PEAK = 3.0
"""What the busiest minutes of an hour are above its mean."""
_SERVICES = ("ingest", "counter", "api")
PARTS = ("load", *_SERVICES, "rest")
"""Who uses the processors; see Step."""


class Step(NamedTuple):
    """A part of the run in numbers.

    rate: events acknowledged in a second; sent: tried; p50 to p99: ms until the answer to an event; shed, lost: of the
    events, the share refused with 503 or 429, and that without an answer; oldest: how long it waits, s; cpu: cores that
    each takes, `rest` being what is neither truycap's services nor the load: Redis, ClickHouse, the kernel.
    """

    users: int
    rate: float
    sent: float
    p50: float
    p95: float
    p99: float
    shed: float
    lost: float
    oldest: float
    cpu: dict[str, float]

    @property
    def good(self) -> bool:
        """Whether more could be asked of it."""
        return self.p95 <= LATE_MS and self.shed + self.lost <= SHED_SHARE and self.oldest <= LAG_SECONDS


class Check(NamedTuple):
    """Something that must be so."""

    what: str
    holds: bool
    found: str


def step(users: int, second: Second, samples: Sequence[Sample], seconds: float) -> Step:
    """What was measured in so many seconds."""
    answers = second.answers.get(EVENTS, Counter())
    sent = sum(answers.values()) or 1
    waits = [second.waits.get(EVENTS, Counter())]
    shed = sum(number for status, number in answers.items() if status in {"503", "429"})
    oldest = max((sample.oldest for sample in samples[-3:]), default=0.0)
    return Step(
        users=users,
        rate=answers.get("202", 0) / seconds,
        sent=sent / seconds,
        p50=percentile(waits, 50),
        p95=percentile(waits, 95),
        p99=percentile(waits, 99),
        shed=shed / sent,
        lost=answers.get(CUT_OFF, 0) / sent,
        oldest=oldest,
        cpu=cores(samples),
    )


def cores(samples: Sequence[Sample]) -> dict[str, float]:
    """How many cores each kept busy; a service that was started anew meanwhile counts from then on."""
    used: dict[str, float] = {}
    for one, other in pairwise(samples):
        for name, now in other.cpu.items():
            used[name] = used.get(name, 0.0) + max(0.0, now - one.cpu.get(name, now))
    took = samples[-1].at - samples[0].at if len(samples) > 1 else 1.0
    found = {name: seconds / took for name, seconds in used.items()}
    found["rest"] = max(0.0, found.get("machine", 0.0) - sum(found.get(name, 0.0) for name in (*_SERVICES, "load")))
    return found


def saturated(steps: Sequence[Step]) -> bool:
    """Whether the last step is too much, or more users have brought no more events."""
    if not steps[-1].good:
        return True
    if len(steps) < 2:
        return False
    before, now = steps[-2:]
    grown = now.users / max(1, before.users) - 1
    return now.rate / max(1.0, before.rate) - 1 < grown / 4


def best(steps: Sequence[Step]) -> Step:
    """The step with the most events a second of those that were good, else the first."""
    return max((step for step in steps if step.good), key=lambda step: step.rate, default=steps[0])


def bottleneck(last: Step, machine_cores: int) -> str:
    """What kept the last step from more, in a sentence."""
    cpu, busy = last.cpu, last.cpu.get("machine", 0.0)
    names = {"load": "the load itself", "rest": "Redis, ClickHouse and the kernel"}
    shares = ", ".join(
        f"{names.get(name, name)} {cpu[name]:.2f}"
        for name in sorted(PARTS, key=lambda name: -cpu.get(name, 0.0))
        if name in cpu
    )
    if busy >= _FULL * machine_cores:
        return f"The processors: {busy:.1f} of {machine_cores} cores were busy ({shares})."
    if cpu.get("load", 0.0) >= _FULL:
        return f"The load itself, which filled its one core: truycap carries more than this ({shares})."
    for name in _SERVICES:
        if cpu.get(name, 0.0) >= _FULL:
            return f"{name}, which filled a core: give it more workers or processes ({shares})."
    return (
        f"Not the processors ({busy:.1f} of {machine_cores} cores were busy): what is waited for is the disk, "
        f"on which Redis writes every event before it is acknowledged, or the network ({shares})."
    )


def checks(run: Run) -> list[Check]:
    """What must be so at the end of any run."""
    grown = {state: run.after.get(state, 0.0) - run.before.get(state, 0.0) for state in run.after}
    left = sum(grown.get(state, 0.0) for state in ("counted", "rejected", "dead_lettered", "waiting"))
    found = [
        Check(
            "The delivery identity is exact: accepted = counted + rejected + dead-lettered + waiting",
            grown.get("accepted", 0.0) == left and run.difference == 0,
            " = ".join([f"{grown.get('accepted', 0.0):,.0f}", f"{left:,.0f}"]),
        ),
        Check(
            "All that was acknowledged was accepted",
            grown.get("accepted", 0.0) >= run.acknowledged,
            f"{run.acknowledged:,} acknowledged, {grown.get('accepted', 0.0):,.0f} accepted",
        ),
        Check(
            "Every acknowledged page view is counted, once",
            run.views <= run.shown <= run.views + run.unsure,
            f"{run.views:,} page views acknowledged, {run.unsure:,} without an answer to the end, {run.shown:,} shown",
        ),
        Check("Nothing waits any more", run.after.get("waiting", 0.0) == 0, f"{run.after.get('waiting', 0.0):,.0f}"),
        Check("No dead letter", not grown.get("dead_lettered"), f"{grown.get('dead_lettered', 0.0):,.0f}"),
    ]
    if hold := run.phase("hold"):
        found += _of_hold(run, hold)
    if spike := run.phase("spike"):
        calm = calm_again(run, spike.end)
        found.append(
            Check(
                f"After the spike the lag is gone within {CALM_SECONDS:.0f} s",
                calm is not None and calm <= CALM_SECONDS,
                "never" if calm is None else f"{calm:.0f} s",
            )
        )
    return found


def calm_again(run: Run, since: float) -> float | None:
    """Seconds until nothing older than a second waited any more, and all services answered; None where never."""
    for sample in run.samples:
        if sample.at >= since and sample.oldest < 1.0 and not sample.silent:
            return sample.at - since
    return None


def outages(run: Run) -> list[Fault]:
    """When each service did not answer, and when it did again."""
    found = []
    for name in _SERVICES:
        gone: Sample | None = None
        for sample in run.samples:
            if name in sample.silent:
                gone = gone or sample
            elif gone:
                found += [
                    Fault(gone.at, f"{name} does not answer"),
                    Fault(sample.at, f"{name} answers again, after {sample.at - gone.at:.0f} s"),
                ]
                gone = None
        if gone:
            found.append(Fault(gone.at, f"{name} does not answer any more"))
    return found


def _of_hold(run: Run, hold: Phase) -> list[Check]:
    samples = run.within(hold.begin, hold.end)
    minute, last = run.within(hold.begin, hold.begin + 60), run.within(hold.end - 60, hold.end)
    quiet = not any(hold.begin <= fault.at < hold.end for fault in run.faults)
    answers: Counter[str] = Counter()
    for kinds in between(run.seconds, hold.begin, hold.end).answers.values():
        answers.update(kinds)
    wrong = {status: number for status, number in answers.items() if status not in {"200", "202", "204", "304"}}
    found = []
    if quiet:
        said = ", ".join(f"{number:,} x {status}" for status, number in sorted(wrong.items())) or "none"
        found.append(Check("While held: no error", not wrong, said))
        worst = max((sample.oldest for sample in samples), default=0.0)
        first, end = (max((sample.oldest for sample in some), default=0.0) for some in (minute, last))
        found.append(
            Check(
                f"While held: the lag stays below {LAG_SECONDS:.0f} s",
                worst <= LAG_SECONDS,
                f"at most {worst:.1f} s; {first:.1f} s in the first minute, {end:.1f} s in the last",
            )
        )
        settling = run.phase(SETTLING)
        if settling and settling.end - settling.begin >= SETTLED_SECONDS:
            grown = growth(minute, last)
            said = ", ".join(f"{name} {share:+.1%}" for name, share in sorted(grown.items()))
            what = f"While held: no memory grows by more than {FLAT_SHARE:.0%}, last minute against the first"
            found.append(Check(what, all(share <= FLAT_SHARE for share in grown.values()), said))
    return found


def growth(first: Sequence[Sample], last: Sequence[Sample]) -> dict[str, float]:
    """By which share the mean memory of each service grew."""
    found = {}
    for name in (*_SERVICES, "redis"):
        means = [[sample.memory[name] for sample in some if name in sample.memory] for some in (first, last)]
        if all(means):
            before, after = (sum(values) / len(values) for values in means)
            found[name] = after / before - 1 if before else 0.0
    return found


class Need(NamedTuple):
    """What a day's page views take. peak: events a second in the busiest minutes; cores: for everything but the load;
    disk: GB a year."""

    page_views: int
    peak: float
    cores: float
    disk: float


def needs(measured: Step, events_per_view: float, bytes_per_view: float) -> list[Need]:
    """The hardware for some sizes of portals, by what an event took."""
    busy = measured.cpu.get("machine", 0.0) - measured.cpu.get("load", 0.0)
    per_event = busy / max(1.0, measured.rate)
    found = []
    for views in (10_000, 100_000, 1_000_000, 10_000_000):
        peak = views * max(hours()) / 3600 * _PEAK * events_per_view
        found.append(Need(views, peak, peak * per_event / _ROOM, views * 365 * bytes_per_view / 1e9))
    return found
