"""What the load knows by itself: every second's answers and waiting times, and what must come out in the end."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

EVENTS, COUNTS, WIDGET, PIXEL, LIVE = "POST events", "GET counts", "GET widget.js", "GET pixel.gif", "GET live"
"""What is asked for, by the names that it is noted under."""
CUT_OFF = "no answer"
"""What is noted in place of a status."""
GOOD = frozenset({"200", "202", "204", "304"})
REFUSED = frozenset({"429", "503"})
"""What is told to come back later."""


class Second(Struct):
    """A second of the load. answers: by request and outcome (a status or CUT_OFF); waits: ms by request,
    as a histogram."""

    answers: dict[str, Counter[str]] = {}
    waits: dict[str, Counter[int]] = {}

    def outcomes(self) -> Counter[str]:
        """How many requests, whatever they were, came to what."""
        together = Counter[str]()
        for kinds in self.answers.values():
            together.update(kinds)
        return together


class Unsure(NamedTuple):
    """A page view without an answer to the end. headers: of its visitor."""

    headers: str
    event: Mapping[str, object]


class Tally:
    """Filled by all users; they are greenlets of one thread.

    acknowledged: how many events were, pixels among them; views: page views by people that were at last; unsure: those
    that never were, and may or may not be counted; pixels: of those acknowledged; unheard: sendings of any event that
    were not acknowledged, and may have been accepted; updates: numbers pushed to streams; errors: of the load itself.
    """

    def __init__(self) -> None:
        self.seconds: dict[int, Second] = {}
        self.acknowledged = 0
        self.views = 0
        self.pixels = 0
        self.unheard = 0
        self.unsure: list[Unsure] = []
        self.updates = 0
        self.errors: list[str] = []

    def note(self, request: str, outcome: str, ms: float) -> None:
        """An answer to a request, or what came in its place."""
        if (second := self.seconds.get(at := int(time.time()))) is None:
            second = self.seconds[at] = Second(defaultdict(Counter), defaultdict(Counter))
        second.answers[request][outcome] += 1
        second.waits[request][rounded(ms)] += 1


def between(seconds: Mapping[int, Second], begin: float, end: float) -> Second:
    """All of the seconds from `begin` to `end` as one."""
    together = Second()
    for at, second in seconds.items():
        if begin <= at < end:
            for name, answers in second.answers.items():
                together.answers.setdefault(name, Counter()).update(answers)
            for name, waits in second.waits.items():
                together.waits.setdefault(name, Counter()).update(waits)
    return together


def rounded(ms: float) -> int:
    """To two digits: a histogram has few steps then, each within 5 % of what it stands for."""
    whole = max(1, round(ms))
    step = int(10 ** max(0, len(str(whole)) - 2))
    return round(whole / step) * step


def percentile(waits: Iterable[Counter[int]], percent: float) -> float:
    """The smallest time, in ms, within which so many per cent of the answers came; 0 where there are none."""
    together = Counter[int]()
    for some in waits:
        together.update(some)
    rest = together.total() * percent / 100
    for ms, number in sorted(together.items()):
        rest -= number
        if rest <= 0:
            return float(ms)
    return 0.0
