"""The report: HTML for people, JSON for programs."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from tests.load import charts, verdict
from tests.load.checks import Check, befell, calm_again, checks
from tests.load.portal import PUBLIC, READ_SECONDS, hours
from tests.load.record import Fault, Run
from tests.load.verdict import Step

_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)


def write(folder: Path, run: Run, steps: Sequence[Step], held: Step | None) -> list[Check]:
    """Write report.html and report.json into the folder, which is there. What must be so, and whether it is."""
    found = checks(run)
    per_view = (run.acknowledged - run.pixels) / max(1, run.views)
    told: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.phases[0].begin)),
        "run": run,
        "steps": steps,
        "parts": verdict.PARTS,
        "top": verdict.best(steps),
        "held": held,
        "checks": found,
        "failed": sum(not check.holds for check in found),
        "bottleneck": _bottleneck(run, steps),
        "faults": [_fault(run, fault) for fault in befell(run)],
        "charts": {draw.__name__: Markup(draw(run)) for draw in charts.ALL},
        "needs": _needs(run, held, per_view) if held and not run.busy else [],
        "events_per_view": per_view,
        "bytes_per_view": verdict.BYTES_PER_VIEW,
        "peak_hour": max(hours()),
        "bytes_per_visitor": verdict.BYTES_PER_VISITOR,
        "spike": run.spike[1] / run.spike[0] if run.spike and run.spike[0] else None,
        "read_seconds": READ_SECONDS,
        "public": PUBLIC,
        "late_ms": verdict.LATE_MS,
        "shed_share": verdict.SHED_SHARE,
        "lag_seconds": verdict.LAG_SECONDS,
    }
    (folder / "report.html").write_text(_TEMPLATES.get_template("report.html.jinja").render(told), "utf-8")
    data = {name: told[name] for name in ("when", "run", "bottleneck", "faults")} | {
        "held": held._asdict() if held else None,
        **{name: [one._asdict() for one in told[name]] for name in ("steps", "checks", "needs")},
    }
    (folder / "report.json").write_bytes(msgspec.json.encode(data, enc_hook=str))
    return found


def _bottleneck(run: Run, steps: Sequence[Step]) -> str:
    """Empty where nothing was saturated."""
    return verdict.bottleneck(steps[-1], run.cores, run.workers) if steps and verdict.saturation(steps) else ""


def _fault(run: Run, fault: Fault) -> dict[str, object]:
    calm = calm_again(run, fault.at)
    recovered = "" if not fault.loss else "never" if calm is None else f"after {calm:.0f} s"
    return {"at": fault.at - run.phases[0].begin, "what": fault.what, "recovered": recovered}


def _needs(run: Run, held: Step, events_per_view: float) -> list[verdict.Need]:
    """Memory is what it was at the end: it is freed later than it is used."""
    memory = next((sum(sample.memory.values()) for sample in reversed(run.samples) if sample.memory), 0.0)
    return verdict.needs(held, run.idle, memory, events_per_view)
