"""All that a run was, as the report and the JSON have it."""

from msgspec import Struct

from tests.load.tally import Second


class Sample(Struct):
    """A look at everything. at: Unix time; cpu: seconds of processor time so far; memory: bytes; by service, `load` is
    this program, `machine` all that the machine's processors did; silent: services that did not answer.

    waiting: entries on the stream; oldest: seconds that the oldest of them has waited; None where Redis was not read
    of late. delivery: events by state, as Redis had them at `read_at` (Unix time); difference: what the delivery
    identity is off by.
    """

    at: float
    users: int = 0
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    silent: list[str] = []
    waiting: float | None = None
    oldest: float | None = None
    read_at: float = 0.0
    delivery: dict[str, float] = {}
    difference: float = 0.0


class Phase(Struct):
    """A part of the run. begin, end: Unix time; users: at its end, without those who hold streams."""

    name: str
    users: int
    begin: float
    end: float = 0.0


class Fault(Struct):
    """What was done to a service, or befell it. loss: from then on something was away, until it had recovered."""

    at: float
    what: str
    loss: bool = False


_BUSY_SHARE = 0.25
"""Of the machine, before the load comes: more than the services do by themselves."""


class Run(Struct):
    """A whole run.

    workers: ingest's processes; expected: services are killed on purpose; idle: cores that were busy before the load
    came; ramp: why it ended; spike: events a second before it and in it; stopped: before it was over; seconds: by Unix
    time; acknowledged, views, unsure, pixels, unheard, updates, errors: see Tally; shown: page views that the site's
    counter went up by.
    """

    machine: str
    cores: int
    streams: int
    workers: int = 1
    expected: bool = False
    idle: float = 0.0
    ramp: str = ""
    spike: list[float] = []
    stopped: bool = False
    phases: list[Phase] = []
    faults: list[Fault] = []
    seconds: dict[int, Second] = {}
    samples: list[Sample] = []
    acknowledged: int = 0
    views: int = 0
    unsure: int = 0
    pixels: int = 0
    unheard: int = 0
    updates: int = 0
    errors: list[str] = []
    shown: int = 0
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    difference: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether something else ran on the machine."""
        return self.idle > _BUSY_SHARE * self.cores

    def phase(self, name: str) -> Phase | None:
        """The phase of that name, where there was one."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def within(self, begin: float, end: float) -> list[Sample]:
        return [sample for sample in self.samples if begin <= sample.at < end]
