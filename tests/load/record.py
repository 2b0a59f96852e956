"""All that a run was, as the report and the JSON have it."""

from msgspec import Struct

from tests.load.tally import Second

STATES = ("accepted", "counted", "rejected", "dead_lettered", "waiting")


class Sample(Struct):
    """A look at everything. at: Unix time; cpu: seconds of processor time so far; memory: bytes; by service, `load` is
    this program, `machine` all that the machine's processors did; silent: services that did not answer.

    waiting: entries on the stream; oldest: seconds that the oldest of them has waited; delivery: events by state, as
    Redis has them; difference: what the delivery identity is off by.
    """

    at: float
    users: int = 0
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    silent: list[str] = []
    waiting: float = 0.0
    oldest: float = 0.0
    delivery: dict[str, float] = {}
    difference: float = 0.0


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
