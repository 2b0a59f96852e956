"""What must be so at the end of a run, and whether it is. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from tests.load.record import Fault, Phase, Run, Sample
from tests.load.tally import GOOD, between
from tests.load.verdict import LAG_SECONDS, SERVICES

FLAT_SHARE = 0.05
_FLAT_LAG_SECONDS = 0.3
"""Less is no growth: one event a second is looked at."""
CALM_SECONDS = 60.0
SETTLING = "settling"
"""The phase before one that is held, in which memory fills: who has what open is known for 5 minutes."""
_SETTLED_SECONDS = 300.0
SPIKE = "spike"
_MINUTE = 60.0
_CALM_LASTS = 3.0
_FEWEST_SAMPLES = 30
"""Of a minute, that say how it was."""


class Check(NamedTuple):
    """Something that must be so."""

    what: str
    holds: bool
    found: str


def checks(run: Run) -> list[Check]:
    """All of them, for a run as long or short as it was."""
    found = [*_of_delivery(run), *_of_course(run)]
    if hold := run.phase("hold"):
        found += _of_hold(run, hold)
    if spike := run.phase(SPIKE):
        found.append(_calm_in_time(run, "After the spike the lag is gone", [spike.end]))
    return found


def _of_delivery(run: Run) -> Iterator[Check]:
    grown = {state: run.after.get(state, 0.0) - run.before.get(state, 0.0) for state in run.after}
    accepted = grown.get("accepted", 0.0)
    left = sum(grown.get(state, 0.0) for state in ("counted", "rejected", "dead_lettered", "waiting"))
    yield Check(
        "The delivery identity is exact: accepted = counted + rejected + dead-lettered + waiting",
        bool(run.after) and accepted == left and run.difference == 0,
        f"{accepted:,.0f} = {left:,.0f}",
    )
    yield Check(
        "All that was acknowledged was accepted",
        accepted >= run.acknowledged,
        f"{run.acknowledged:,} acknowledged, {accepted:,.0f} accepted",
    )
    unsure = f", {run.unsure:,} without an answer to the end" if run.unsure else ""
    yield Check(
        "Every acknowledged page view is counted, once",
        run.views <= run.shown <= run.views + run.unsure,
        f"{run.views:,} page views acknowledged{unsure}, {run.shown:,} shown",
    )
    waiting = run.after.get("waiting")
    yield Check("Nothing waits any more", waiting == 0, "not known" if waiting is None else f"{waiting:,.0f}")
    yield Check("No dead letter", not grown.get("dead_lettered"), f"{grown.get('dead_lettered', 0.0):,.0f}")


def _of_course(run: Run) -> Iterator[Check]:
    if run.stopped:
        yield Check("The load went to its end", holds=False, found="it was stopped before")
    if run.errors:
        yield Check("The load itself made no mistake", holds=False, found=f"{len(run.errors)}, such as {run.errors[0]}")
    losses = [fault for fault in befell(run) if fault.loss]
    if not run.expected:
        said = "; ".join(fault.what for fault in losses) or "yes"
        yield Check("Every service ran and answered all the time", not losses, said)
    elif losses:
        what = "After every fault nothing waits for longer than a second,"
        yield _calm_in_time(run, what, [fault.at for fault in losses])


def _of_hold(run: Run, hold: Phase) -> Iterator[Check]:
    """None where services were killed on purpose meanwhile: what that does is told beside, the delivery is judged."""
    if run.expected and any(fault.loss and fault.at < hold.end for fault in befell(run)):
        return
    answers = between(run.seconds, hold.begin, hold.end).outcomes()
    wrong = {status: number for status, number in answers.items() if status not in GOOD}
    said = ", ".join(f"{number:,} x {status}" for status, number in sorted(wrong.items()))
    said = said or (f"none in {answers.total():,} answers" if answers else "nothing was answered")
    yield Check("While held: no error", bool(answers) and not wrong, said)
    lags = _lags(run.within(hold.begin, hold.end))
    yield Check(
        f"While held: the lag stays below {LAG_SECONDS:.0f} s",
        bool(lags) and max(lags) <= LAG_SECONDS,
        f"at most {max(lags):.1f} s" if lags else "not known",
    )
    if hold.end - hold.begin >= 2 * _MINUTE:
        minute, last = run.within(hold.begin, hold.begin + _MINUTE), run.within(hold.end - _MINUTE, hold.end)
        yield _flat_lag(_lags(minute), _lags(last))
        settling = run.phase(SETTLING)
        if settling and settling.end - settling.begin >= _SETTLED_SECONDS:
            yield _flat_memory(growth(minute, last))


def _flat_lag(first: Sequence[float], last: Sequence[float]) -> Check:
    what = "While held: the lag does not grow, mean of the first minute and of the last"
    if not (first and last):
        return Check(what, holds=False, found="not known")
    before, after = fmean(first), fmean(last)
    return Check(what, after <= before + _FLAT_LAG_SECONDS, f"{before:.2f} s and {after:.2f} s")


def _flat_memory(grown: Mapping[str, float]) -> Check:
    return Check(
        f"While held: no memory grows by more than {FLAT_SHARE:.0%}, last minute against the first",
        bool(grown) and all(share <= FLAT_SHARE for share in grown.values()),
        ", ".join(f"{name} {share:+.1%}" for name, share in sorted(grown.items())) or "not known",
    )


def _lags(samples: Sequence[Sample]) -> list[float]:
    """How long the oldest event waited, each time it was known."""
    return [sample.oldest for sample in samples if sample.oldest is not None]


def _calm_in_time(run: Run, what: str, since: Sequence[float]) -> Check:
    """Whether all was calm again soon enough after each of these times."""
    took = [calm_again(run, at) for at in since]
    known = [seconds for seconds in took if seconds is not None]
    every = len(known) == len(took)
    said = f"after {max(known):.0f} s at the latest" if every else "never, after one of them at least"
    return Check(f"{what} within {CALM_SECONDS:.0f} s", every and max(known) <= CALM_SECONDS, said)


def calm_again(run: Run, since: float) -> float | None:
    """Seconds until nothing older than a second waited, and all services answered, and so it stayed for a while.

    None where that never was. Looked at each second, of what the api read of Redis since then.
    """
    began: float | None = None
    for sample in run.samples:
        if sample.at < since:
            continue
        calm = sample.oldest is not None and sample.oldest < 1.0 and not sample.silent and sample.read_at >= since
        if not calm:
            began = None
        elif began is None:
            began = sample.at
        elif sample.at - began >= _CALM_LASTS:
            break
    return None if began is None else began - since


def befell(run: Run) -> list[Fault]:
    """What was done to the services, and what was seen of it, by time."""
    return sorted([*run.faults, *outages(run)], key=lambda fault: fault.at)


def outages(run: Run) -> list[Fault]:
    """When each service did not answer, and when it did again."""
    found = []
    for name in SERVICES:
        gone: Sample | None = None
        for sample in run.samples:
            if name in sample.silent:
                gone = gone or sample
            elif gone:
                found += [
                    Fault(gone.at, f"{name} does not answer", loss=True),
                    Fault(sample.at, f"{name} answers again, after {sample.at - gone.at:.0f} s"),
                ]
                gone = None
        if gone:
            found.append(Fault(gone.at, f"{name} does not answer any more", loss=True))
    return found


def growth(first: Sequence[Sample], last: Sequence[Sample]) -> dict[str, float]:
    """By which share the mean memory of each service grew; nothing of one that was seldom seen."""
    found = {}
    for name in (*SERVICES, "redis"):
        values = [[sample.memory[name] for sample in some if name in sample.memory] for some in (first, last)]
        if all(len(some) >= _FEWEST_SAMPLES for some in values):
            before, after = (sum(some) / len(some) for some in values)
            found[name] = after / before - 1 if before else 0.0
    return found
