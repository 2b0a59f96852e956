"""The charts of a report, as SVG: what was answered, how fast, what waited, what it took."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.load.record import Run, Sample
from tests.load.tally import COUNTS, EVENTS, GOOD, REFUSED, percentile
from tests.load.verdict import LAG_SECONDS, LATE_MS, PARTS, cores

mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "truycap", "font.size": 9, "axes.grid": True})
mpl.rcParams.update({"grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False})

_WINDOW = 5
"""Seconds that a point of a line of percentiles or processor time stands for."""
_SIZE = (9.6, 2.8)
_PLACE = (0.07, 0.17, 0.6, 0.66)
"""The same for all, so that what happened at one time stands below each other."""
_LETTERS = 105
"""Of a phase's name, that go into the width of a chart."""
_ROW_POINTS = 10
_NOTHING = float("nan")


def answers(run: Run) -> str:
    """Answers a second, by what they were."""

    def draw(axes: Axes) -> None:
        times = _times(run)
        for name, wanted in {
            "events acknowledged (202)": lambda name, status: name == EVENTS and status == "202",
            "widgets and pixels answered": lambda name, status: name != EVENTS and status in GOOD,
            "refused (503, 429)": lambda _, status: status in REFUSED,
            "failed, or no answer": lambda _, status: status not in GOOD | REFUSED,
        }.items():
            line = [_number(run, at, wanted) for at in times]
            if any(line) or name == "refused (503, 429)":
                axes.plot([at - run.phases[0].begin for at in times], line, label=name, linewidth=1)
        axes.set_ylabel("a second")

    return _chart(run, draw)


def waits(run: Run) -> str:
    """How long answers took."""

    def draw(axes: Axes) -> None:
        times = _times(run)[::_WINDOW]
        for request, percent in ((EVENTS, 50), (EVENTS, 95), (EVENTS, 99), (COUNTS, 99)):
            line = []
            for at in times:
                some = [run.seconds[second] for second in range(at, at + _WINDOW) if second in run.seconds]
                line.append(percentile([second.waits.get(request, Counter()) for second in some], percent) or _NOTHING)
            axes.plot([at - run.phases[0].begin for at in times], line, label=f"{request}, p{percent}", linewidth=1)
        _limit(axes, LATE_MS, f"too late, {LATE_MS:.0f} ms")
        axes.set_yscale("log")
        axes.set_ylabel("ms")

    return _chart(run, draw)


def lag(run: Run) -> str:
    """How long the oldest event that is not counted yet has waited."""

    def draw(axes: Axes) -> None:
        axes.plot(*_line(run, lambda sample: _known(sample.oldest)), label="the oldest event waits, s", linewidth=1)
        _limit(axes, LAG_SECONDS, f"too long, {LAG_SECONDS:.0f} s")
        axes.plot([], [], label="entries waiting (right)", linewidth=0.7, color="gray")
        axes.set_ylabel("s")
        entries = axes.twinx()
        times, line = _line(run, lambda sample: _known(sample.waiting))
        entries.plot(times, line, linewidth=0.7, color="gray")
        entries.grid(visible=False)
        entries.set_ylabel("entries")

    return _chart(run, draw)


def memory(run: Run) -> str:
    """Resident memory of each service; what Redis uses."""

    def draw(axes: Axes) -> None:
        for name in ("ingest", "counter", "api", "redis"):
            times, line = _line(run, lambda sample: _mega(sample.memory.get(name, 0.0)))  # noqa: B023 - called at once
            axes.plot(times, line, label=name, linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("MB")

    return _chart(run, draw)


def processors(run: Run) -> str:
    """Cores that each kept busy."""

    def draw(axes: Axes) -> None:
        parts = [run.samples[start : start + _WINDOW + 1] for start in range(0, len(run.samples) - 1, _WINDOW)]
        times = [part[0].at - run.phases[0].begin for part in parts]
        used = [cores(part) for part in parts]
        for name in PARTS:
            axes.plot(times, [of.get(name, 0.0) for of in used], label=name, linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("cores")

    return _chart(run, draw)


ALL = (answers, waits, lag, memory, processors)


def _chart(run: Run, draw: Callable[[Axes], None]) -> str:
    figure = plt.figure(figsize=_SIZE)
    axes = figure.add_axes(_PLACE)
    draw(axes)
    begin, took = run.phases[0].begin, run.phases[-1].end - run.phases[0].begin
    rows: list[float] = []
    for number, (one, other) in enumerate(pairwise([*_parts(run), (run.phases[-1].end, "")])):
        at, name = one[0] - begin, one[1]
        if number % 2:
            axes.axvspan(at, other[0] - begin, color="0.5", alpha=0.08, linewidth=0)
        row = next((row for row, end in enumerate(rows) if end <= at), len(rows))
        rows[row:] = [at + (len(name) + 1) * took / _LETTERS, *rows[row + 1 :]]
        axes.annotate(
            name,
            (at, 1),
            (0, 1 + _ROW_POINTS * row),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="bottom",
            fontsize=8,
        )
    for fault in run.faults:
        axes.axvline(fault.at - begin, color="tab:red", linewidth=1.2)
    axes.set_xlim(0, took)
    axes.set_xlabel("seconds")
    axes.legend(loc="center left", bbox_to_anchor=(1.13, 0.5), frameon=False)
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    plt.close(figure)
    return written.getvalue().partition("<svg")[1] + written.getvalue().partition("<svg")[2]


def _limit(axes: Axes, value: float, label: str) -> None:
    axes.axhline(value, color="tab:red", linewidth=0.7, linestyle="--", label=label)


def _parts(run: Run) -> list[tuple[float, str]]:
    """Where each phase begins; those of one name that follow each other, and the hours of the day, are one."""
    found: list[tuple[float, str]] = []
    for phase in run.phases:
        name = "a day" if phase.name.endswith(" h") else phase.name
        if not found or found[-1][1] != name:
            found.append((phase.begin, name))
    return found


def _times(run: Run) -> list[int]:
    return list(range(int(run.phases[0].begin), int(run.phases[-1].end)))


def _number(run: Run, at: int, wanted: Callable[[str, str], bool]) -> int:
    second = run.seconds.get(at)
    found = second.answers.items() if second else ()
    return sum(number for name, kinds in found for status, number in kinds.items() if wanted(name, status))


def _line(run: Run, value: Callable[[Sample], float]) -> tuple[list[float], Sequence[float]]:
    begin = run.phases[0].begin
    return [sample.at - begin for sample in run.samples], [value(sample) for sample in run.samples]


def _known(value: float | None) -> float:
    return _NOTHING if value is None else value


def _mega(value: float) -> float:
    return value / 1e6 if value else _NOTHING
