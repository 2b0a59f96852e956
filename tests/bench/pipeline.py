"""Row e: what `truycap up` counts as fast as it comes, ingest and counter and api in one process, against row a.

python -m tests.bench.pipeline [--rounds 3] [--seconds 4] [--sustained 60]
"""

import threading
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from redis import Redis

from services.embedded.folder import Folder
from shared.streams import EntryId, delivery_key, events_key
from tests.bench.ingest import CONFIG, PATH, SITE, drain, ingesting
from tests.bench.load import CONNECTIONS, load
from tests.bench.options import Measured, Options, VoidError, run
from tests.bench.requests import posts, write_requests
from tests.bench.result import Result
from tests.support.truycap import Up
from tests.support.truycap import run as truycap

LAG_SECONDS = 3.0
"""Where no event ever waits longer in the second half of a run, the lag does not grow."""
STEPS = (0.9, 0.8, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.3, 0.2)
"""Parts of row a's rate that are tried, the highest first."""
TRIAL_SECONDS = 15


class Sustained(NamedTuple):
    """rate: events a second that came; lag: how long the oldest event waited at most in the second half, in seconds."""

    rate: float
    lag: float


def main(options: Options) -> Measured:
    """The highest rate at which no lag builds up: tried for 15 s each, then held for a minute."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        requests = write_requests(folder / "single.lua", posts([SITE]))
        config = folder / "sites.toml"
        config.write_text(CONFIG, "utf-8")
        alone = _alone(folder, requests, options)
        print(f"  ingest alone takes {alone:,.0f} events/s", flush=True)
        environment = {"TRUYCAP_TRUSTED_PROXIES": "127.0.0.1"}
        with Up(folder / "data", "--config", str(config), **environment) as up:
            redis = Redis.from_url(Folder(folder / "data").redis_url)
            acknowledged = runs = 0
            for step in STEPS:
                runs += 1
                seconds = TRIAL_SECONDS
                found, requested = _sustain(up, redis, requests, alone * step, seconds)
                acknowledged += requested
                print(f"  {found.rate:,.0f} events/s: the oldest waited {found.lag:.1f} s", flush=True)
                if found.lag <= LAG_SECONDS:
                    runs += 1
                    found, requested = _sustain(up, redis, requests, alone * step, options.sustained)
                    acknowledged += requested
                    print(f"  {found.rate:,.0f} events/s held: the oldest waited {found.lag:.1f} s", flush=True)
                    if found.lag <= LAG_SECONDS:
                        break
                drain(lambda: waiting(redis))
            drain(lambda: waiting(redis))
            accepted, counted = (int(number or 0) for number in redis.hmget(delivery_key(0), ["accepted", "counted"]))
            if not acknowledged <= accepted <= acknowledged + runs * CONNECTIONS or accepted != counted:
                raise VoidError(f"{acknowledged} acknowledged, {accepted} accepted, {counted} counted: void.")
        checked = truycap("verify", "--data", str(folder / "data"), timeout=300)
        if checked.returncode:
            raise VoidError(f"verify: {checked.stdout}{checked.stderr}")
    what = f"truycap up, {options.sustained:.0f} s, the oldest event waited {found.lag:.1f} s"
    measured, limit = f"{found.rate:,.0f} events/s", f"{alone:,.0f} (ingest alone)"
    return [Result("e", what, measured, limit, found.rate / alone, 0.5, 0.7)], []


def _alone(folder: Path, requests: Path, options: Options) -> float:
    (folder / "alone").mkdir()
    with ingesting(folder / "alone") as (_, ingest):
        load(ingest.url + PATH, requests, options.seconds)
        return median(load(ingest.url + PATH, requests, options.seconds).rate for _ in range(options.rounds))


def _sustain(up: Up, redis: Redis, requests: Path, rate: float, seconds: float) -> tuple[Sustained, int]:
    lags: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        begin = time.monotonic()
        while not ended.wait(0.25):
            if time.monotonic() - begin > seconds / 2:
                lags.append(_lag(redis))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = load(up.url + PATH, requests, seconds, rate=rate)
    finally:
        ended.set()
        watcher.join()
    return Sustained(done.rate, max(lags)), done.requests


def waiting(redis: Redis) -> int:
    """How many entries wait."""
    return int(redis.xlen(events_key(0)))


def _lag(redis: Redis) -> float:
    """How long the oldest entry that waits has waited, in seconds."""
    first: Any = redis.xrange(events_key(0), count=1)
    return max(0.0, time.time() - EntryId.parse(first[0][0]).ms / 1000) if first else 0.0


if __name__ == "__main__":
    run(main, __doc__)
