"""A line of the benchmark's table."""

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
