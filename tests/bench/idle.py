"""What `truycap up` weighs while nothing happens: the memory of all its processes.

python -m tests.bench.idle

A fresh data folder, a few page views, and 20 seconds of nothing.
"""

import tempfile
import time
from pathlib import Path

from tests.bench.options import Measured, Options, run
from tests.bench.processes import pss, rss
from tests.bench.result import Result
from tests.support.counting import PERSON
from tests.support.truycap import Up

IDLE_SECONDS = 20.0
EVENTS = 20


def main(_options: Options) -> Measured:
    """Row h."""
    with tempfile.TemporaryDirectory() as folder, Up(Path(folder) / "data") as up:
        for number in range(EVENTS):
            up.fetch(f"/v1/pixel.gif?site=demo&url={up.url}/{number}", user_agent=f"{PERSON} {number}")
        up.wait_for("/v1/sites/demo/counts", {"pageviews.total": EVENTS}, 20)
        time.sleep(IDLE_SECONDS)
        pids = [up.pid, *up.children()]
        weight, resident = sum(map(pss, pids)), sum(map(rss, pids))
    said = f"{resident / 1e6:.0f} MB (PSS {weight / 1e6:.0f} MB) in {len(pids)} processes"
    return [Result("h", "memory of an idle truycap up", said, "500 MB", resident / 1e6, 500, 350, smaller=True)], []


if __name__ == "__main__":
    run(main, __doc__)
