"""The lines of the benchmark's tables."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Result(NamedTuple):
    """What a row came to.

    row: its letter; what: in words; measured, limit: with their units, as they are printed; value: what is compared, a
    ratio, seconds or bytes; least: the value that must be reached; aim: the one that is wished for; smaller: whether
    values below these are the good ones.
    """

    row: str
    what: str
    measured: str
    limit: str
    value: float
    least: float
    aim: float
    smaller: bool = False

    @property
    def reached(self) -> bool:
        """Whether the value is at least as good as it must be."""
        return self.value <= self.least if self.smaller else self.value >= self.least


class Tails(NamedTuple):
    """Latencies in ms at half of the saturating load; rate: that load, in requests a second."""

    row: str
    rate: float
    p50: float
    p99: float
    p999: float


def compared(
    row: str, what: str, unit: str, ours: Sequence[float], of: str, limits: Sequence[float], least: float, aim: float
) -> Result:
    """The result of rounds that were measured in turn with their limit: the median of the rounds' ratios."""
    ratio = median(mine / limit for mine, limit in zip(ours, limits, strict=True))
    return Result(row, what, f"{median(ours):,.0f} {unit}", f"{median(limits):,.0f} ({of})", ratio, least, aim)
