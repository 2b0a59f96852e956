"""All benchmarks, each row against its limit in the same run, as one table.

python -m tests.bench [ROW ...] [options]     for example: python -m tests.bench a d --rounds 3

Each part is a process of its own. Exit code 1 where a row is not reached, 3 where a run is void. What the rows are, and
what was found: docs/performance.md.
"""

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.bench.options import VOID, parser, table
from tests.bench.result import Result, Tails
from tests.support.truycap import ROOT

PARTS = {
    "a": "ingest",
    "b": "arrays",
    "c": "draining",
    "d": "reading",
    "e": "pipeline",
    "f": "visible_live",
    "g": "streams",
    "h": "idle",
    "i": "disk",
    "j": "growing",
}
"""The rows and their modules."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("wanted", nargs="*", metavar="ROW", help="a to j; all where none is named")
    chosen = vars(options.parse_args())
    wanted, file = chosen.pop("wanted") or list(PARTS), chosen.pop("json")
    passed_on = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    results: list[Result] = []
    tails: list[Tails] = []
    codes = []
    for row, module in PARTS.items():
        if row in wanted:
            print(f"{row}: {module}", flush=True)
            with tempfile.NamedTemporaryFile(suffix=".json") as found:
                command = [sys.executable, "-m", f"tests.bench.{module}", *passed_on, "--json", found.name]
                codes.append(subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode)
                if content := Path(found.name).read_bytes():
                    more, more_tails = msgspec.json.decode(content, type=tuple[list[Result], list[Tails]])
                    results += more
                    tails += more_tails
    if file:
        file.write_bytes(msgspec.json.encode((results, tails)))
    print(f"\n{_machine()}\n\n{table(results, tails)}")
    sys.exit(VOID if any(code not in (0, 1) for code in codes) else max(codes, default=0))


def _machine() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{len(models) or '?'} × {model}, {system}"


if __name__ == "__main__":
    main()
