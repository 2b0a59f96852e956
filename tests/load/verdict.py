"""What a run says: where it saturates and by what, and what hardware it takes. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.load.portal import hours
from tests.load.record import Sample
from tests.load.tally import COUNTS, EVENTS, GOOD, REFUSED, Second, percentile

LATE_MS = 500.0
"""A page view that is acknowledged no sooner holds a browser up that is about to leave the page."""
LAG_SECONDS = 2.0
SHED_SHARE = 0.005
_FULL = 0.9
"""Of a core: a program of one thread can do no more."""
_ROOM = 0.6
"""How much of a machine usual traffic may take, so that the unusual has room."""
_PEAK = 3.0
"""What the busiest minutes of an hour are above its mean."""
_PRESENT_SECONDS = 1800.0
"""A visitor is known for so long after the last sign of them."""
BYTES_PER_VISITOR = 130
"""In Redis."""
BYTES_PER_VIEW = 13.6
"""On disk, settled: row i of docs/performance.md."""
SERVICES = ("ingest", "counter", "api")
PARTS = ("load", *SERVICES, "rest")
"""Who uses the processors; see Step."""


class Step(NamedTuple):
    """A part of the run in numbers.

    rate: events acknowledged in a second; p50 to p99: ms until the answer to an event; reads: p95 of reading the
    counter, ms; shed, lost: the share of all requests refused with 503 or 429, and answered otherwise wrongly or not at
    all; oldest: how long what waits has waited, s; cpu: cores that each takes, `rest` being what is neither truycap's
    services nor the load: Redis, ClickHouse, the kernel, other programs.
    """

    users: int
    rate: float
    p50: float
    p95: float
    p99: float
    reads: float
    shed: float
    lost: float
    oldest: float
    cpu: dict[str, float]

    @property
    def good(self) -> bool:
        """Whether more could be asked of it."""
        return not self.lacks

    @property
    def lacks(self) -> str:
        """What is no longer good enough; empty where all is."""
        lacking = {
            f"answers took {max(self.p95, self.reads):.0f} ms (p95)": max(self.p95, self.reads) > LATE_MS,
            f"{self.shed + self.lost:.1%} of the requests were refused or failed": self.shed + self.lost > SHED_SHARE,
            f"something waited {self.oldest:.1f} s to be counted": self.oldest > LAG_SECONDS,
        }
        return ", ".join(what for what, so in lacking.items() if so)


def step(users: int, second: Second, samples: Sequence[Sample], seconds: float) -> Step:
    """What was measured in so many seconds."""
    answers = second.outcomes()
    sent = answers.total() or 1
    waits = [second.waits.get(EVENTS, Counter())]
    return Step(
        users=users,
        rate=second.answers.get(EVENTS, Counter())["202"] / seconds,
        p50=percentile(waits, 50),
        p95=percentile(waits, 95),
        p99=percentile(waits, 99),
        reads=percentile([second.waits.get(COUNTS, Counter())], 95),
        shed=sum(answers[status] for status in REFUSED) / sent,
        lost=sum(number for status, number in answers.items() if status not in GOOD | REFUSED) / sent,
        oldest=max((sample.oldest for sample in samples[-3:] if sample.oldest is not None), default=0.0),
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
    found["rest"] = max(0.0, found.get("machine", 0.0) - sum(found.get(name, 0.0) for name in (*SERVICES, "load")))
    return found


def saturation(steps: Sequence[Step]) -> str:
    """Why the last step is the last: it is too much, or more users have brought no more events. Else empty."""
    if lacks := steps[-1].lacks:
        return lacks
    if len(steps) < 2:
        return ""
    before, now = steps[-2:]
    grown = now.users / max(1, before.users) - 1
    return "more readers brought no more events" if now.rate / max(1.0, before.rate) - 1 < grown / 4 else ""


def best(steps: Sequence[Step]) -> Step | None:
    """The step with the most events a second of those that were good."""
    return max((step for step in steps if step.good), key=lambda step: step.rate, default=None)


def bottleneck(last: Step, machine_cores: int, workers: int) -> str:
    """What kept the last step from more, in a sentence. workers: processes of ingest."""
    cpu, busy = last.cpu, last.cpu.get("machine", 0.0)
    names = {"load": "the load itself", "rest": "Redis, ClickHouse, the kernel and whatever else runs"}
    shares = ", ".join(
        f"{names.get(name, name)} {cpu[name]:.2f}"
        for name in sorted(PARTS, key=lambda name: -cpu.get(name, 0.0))
        if name in cpu
    )
    if busy >= _FULL * machine_cores:
        return f"The processors: {busy:.1f} of {machine_cores} cores were busy ({shares})."
    if cpu.get("load", 0.0) >= _FULL:
        return f"The load itself, which filled its one core: truycap carries more than this ({shares})."
    for name in SERVICES:
        if cpu.get(name, 0.0) >= _FULL * (workers if name == "ingest" else 1):
            return f"{name}, which filled its cores: give it more workers or processes ({shares})."
    return (
        f"None of what is measured here ({busy:.1f} of {machine_cores} cores were busy; {shares}). Look at the disk, "
        "on which Redis writes every event before it is acknowledged, at Redis's one thread, at containers' limits."
    )


class Need(NamedTuple):
    """What a day's page views take. peak: events a second in the busiest minutes; cores: for everything but the load;
    memory: GB, at most; disk: GB a year."""

    page_views: int
    peak: float
    cores: float
    memory: float
    disk: float


def needs(measured: Step, idle: float, memory: float, events_per_view: float) -> list[Need]:
    """The hardware for some sizes of portals, by what an event took.

    idle: cores that are busy without the load, whatever comes; memory: bytes of everything while that was measured.
    """
    busy = sum(measured.cpu.get(name, 0.0) for name in (*SERVICES, "rest"))
    per_event = max(0.0, busy - idle) / max(1.0, measured.rate)
    found = []
    for views in (10_000, 100_000, 1_000_000, 10_000_000):
        peak = views * max(hours()) / 3600 * _PEAK * events_per_view
        people = peak / events_per_view * _PRESENT_SECONDS
        gigabytes = [(memory + people * BYTES_PER_VISITOR) / 1e9, views * 365 * BYTES_PER_VIEW / 1e9]
        found.append(Need(views, peak, (idle + peak * per_event) / _ROOM, *gigabytes))
    return found
