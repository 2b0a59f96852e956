"""A truycap process of the chaos suite: the real program, which can be killed at named points, or is sabotaged.

CHAOS_POINTS=FOLDER [CHAOS_SABOTAGE=NAME] python -m tests.chaos.process counter --port 8002
"""

import os
import sys
from pathlib import Path

from services import cli
from services.commands import workers
from tests.chaos import points, sabotage


def main() -> None:
    workers.PROGRAM = [sys.executable, "-m", "tests.chaos.process"]
    if name := os.environ.get("CHAOS_SABOTAGE"):
        sabotage.install(sabotage.Sabotage(name))
    points.install(Path(os.environ["CHAOS_POINTS"]))
    cli.main()


if __name__ == "__main__":
    main()
