"""Row d: what one api process answers to GET counts, against a server with a fixed answer of the same size.

python -m tests.bench.reading [--rounds 5] [--seconds 4]
"""

import urllib.request
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from shared.streams import append
from tests.bench.limit import fastest
from tests.bench.load import load
from tests.bench.options import Measured, Options, run
from tests.bench.requests import gets, write_requests
from tests.bench.result import Tails, compared
from tests.support.counting import pageview
from tests.support.servers import RedisServer
from tests.support.stack import Stack, configured, until

SITES = [f"site-{number}" for number in range(100)]


def main(options: Options) -> Measured:
    """100 sites, each with some page views, asked for in turn by 256 connections."""
    with TemporaryDirectory() as name, RedisServer(Path(name) / "redis") as redis:
        folder = Path(name)
        stack = Stack(folder, redis, f"chdb://{folder}/store", sites=configured(SITES)).migrate()
        views = [pageview(site, visitor=number) for site in SITES for number in range(10)]
        stack.ask(lambda client: append(client, 0, views))
        with stack.service("counter"):
            until(lambda: not stack.waiting(), "all is counted")
        requests = write_requests(folder / "gets.lua", gets(f"/v1/sites/{site}/counts" for site in SITES))
        ours, limits = [], []
        with stack.service("api") as api:
            size = len(_get(f"{api.url}/v1/sites/{SITES[0]}/counts"))
            with fastest(requests, "/", 200, size, options.seconds) as (server, limit):
                load(api.url, requests, options.seconds)
                for _ in range(options.rounds):
                    limits.append(load(limit, requests, options.seconds).rate)
                    ours.append(load(api.url, requests, options.seconds).rate)
                half = load(api.url, requests, options.seconds, rate=median(ours) / 2)
    what = f"GET counts of {len(SITES)} sites, 256 connections"
    result = compared("d", what, "requests/s", ours, f"{server}, {size} fixed bytes", limits, 0.5, 0.7)
    return [result], [Tails("d", half.rate, half.p50, half.p99, half.p999)]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
        return body


if __name__ == "__main__":
    run(main, __doc__)
