"""All that a run was, as the report and the JSON have it."""

from msgspec import Struct

from tests.load.samples import Sample
from tests.load.tally import Second


class Phase(Struct):
    """A part of the run. begin, end: Unix time; users: at its end, without those who hold streams."""

    name: str
    users: int
    begin: float
    end: float = 0.0


class Fault(Struct):
    """What was done to a service, or befell it."""

    at: float
    what: str


class Run(Struct):
    """A whole run. seconds: by Unix time; acknowledged, views, unsure, updates: see Tally; shown: page views that the
    site's counter went up by."""

    machine: str
    cores: int
    streams: int
    phases: list[Phase] = []
    faults: list[Fault] = []
    seconds: dict[int, Second] = {}
    samples: list[Sample] = []
    acknowledged: int = 0
    views: int = 0
    unsure: int = 0
    updates: int = 0
    shown: int = 0
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    difference: float = 0.0

    def phase(self, name: str) -> Phase | None:
        """The phase of that name, where there was one."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def within(self, begin: float, end: float) -> list[Sample]:
        return [sample for sample in self.samples if begin <= sample.at < end]
