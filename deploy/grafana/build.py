"""Grafana's dashboards, from this readable form into JSON: python deploy/grafana/build.py [--check]

--check writes nothing; exit code 1 where the files are not what this gives. The runbook's text comes from
docs/operations.md, so that who is woken has it beside the numbers.
"""

import json
import re
import sys
from pathlib import Path

from by_service import API, COUNTER, INGEST
from overview import OVERVIEW
from panels import Json, dashboard, text

HERE = Path(__file__).parent
OPERATIONS = HERE.parents[1] / "docs/operations.md"


def runbook(page: str) -> Json:
    """The runbook of docs/operations.md, a panel for each alert. Links within the page are its names alone there."""
    found = re.split(r"^### (\w+)\n", page.partition("## Runbook\n")[2].partition("\n## ")[0], flags=re.MULTILINE)
    beginning, *entries = [re.sub(r"\[([^\]]+)\]\(#[^)]*\)", r"\1", part.strip()) for part in found]
    panels = [text(name, entry) for name, entry in zip(entries[::2], entries[1::2], strict=True)]
    rows = [panels[number : number + 2] for number in range(0, len(panels), 2)]
    return dashboard("runbook", "runbook", {"What to do": [[text("First", beginning)], *rows]})


def main(check: bool) -> int:
    built = {
        "overview": OVERVIEW,
        "ingest": INGEST,
        "counter": COUNTER,
        "api": API,
        "runbook": runbook(OPERATIONS.read_text("utf-8")),
    }
    stale = []
    for name, content in built.items():
        file = HERE / "dashboards" / f"{name}.json"
        written = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if not check:
            file.write_text(written, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != written:
            stale.append(str(file))
    if stale:
        print(f"Not what deploy/grafana/build.py gives: {', '.join(stale)}. Run it without --check.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
