"""From a 202 to the event that shows it: how long under load.

python -m tests.bench.visible_live [--sustained 60]

`truycap up` takes 2,000 events a second, one in each request, open-loop, of 100 sites. Beside them are quiet sites,
whose events come more than a second apart, so that their streams are free to send: that is the row. The same is said of
ten of the busy ones; there the second between two events of a stream is part of it. Void where an event is not answered
202 or not shown.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from statistics import quantiles
from uuid import uuid4

import uvloop

from tests.bench.load import load
from tests.bench.options import Measured, Options, VoidError, run
from tests.bench.requests import posts, write_requests
from tests.bench.result import Result
from tests.bench.streams import Reader
from tests.support.counting import PERSON
from tests.support.stack import configured
from tests.support.truycap import Up

EVENTS_A_SECOND = 2000
SITES = 100
WATCHED = 10
"""So many of the sites have a reader, and their events come from this process, which can tell them apart."""
QUIET = 30
WARM_UP_SECONDS = 5.0
_PAUSE_SECONDS = (1.2, 2.4)
"""Between two events of a quiet site."""
_TICK_SECONDS = 0.005


class Sender(asyncio.Protocol):
    """A kept connection. acked: when each 202 came."""

    def __init__(self) -> None:
        self.acked: list[float] = []
        self.sent = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.acked += [time.monotonic()] * data.count(b"HTTP/1.1 202")

    def send(self, request: bytes) -> None:
        assert self._transport
        self.sent += 1
        self._transport.write(request)


def event(site: str) -> bytes:
    """The request that a page view is."""
    body = json.dumps(
        {
            "type": "pageview",
            "site": site,
            "id": str(uuid4()),
            "url": "https://x.vn/",
            "visitor": random.randbytes(8).hex(),
        }
    )
    return (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nUser-Agent: {PERSON}\r\n"
        f"X-Forwarded-For: {address()}\r\n\r\n{body}"
    ).encode()


def address() -> str:
    return "10." + ".".join(str(random.randrange(256)) for _ in range(3))


async def open_loop(rate: float, seconds: float, send: Callable[[int], None]) -> None:
    """Send at this rate, whatever the answers do."""
    began, number = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        while number < rate * elapsed:
            send(number)
            number += 1
        await asyncio.sleep(_TICK_SECONDS)


class Site:
    """A site with a reader, and a connection for its events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reader = Reader(f"/v1/sites/{name}/live")
        self.sender = Sender()

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.reader, "127.0.0.1", port)
        await loop.create_connection(lambda: self.sender, "127.0.0.1", port)

    def send(self) -> None:
        self.sender.send(event(self.name))

    def took(self) -> list[float]:
        """The seconds from each 202 to the first event that shows so many. Raises SystemExit where one is not shown."""
        shown = sorted(self.reader.had.items())
        took = []
        for number, at in enumerate(self.sender.acked, 1):
            while shown and shown[0][0] < number:
                shown.pop(0)
            if not shown:
                raise VoidError(f"event {number} of {self.name} was not shown")
            took.append(shown[0][1] - at)
        if len(took) < self.sender.sent:
            raise VoidError(f"an event of {self.name} was not answered 202")
        return took


async def measure(port: int, quiet: list[Site], busy: list[Site], rate: float, seconds: float) -> None:
    """Send the events of these sites, and let their readers read. rate: of all the busy ones together."""
    for site in (*quiet, *busy):
        await site.connect(port)
    await asyncio.sleep(2 * WARM_UP_SECONDS)

    async def now_and_then(site: Site) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
            site.send()

    await asyncio.gather(
        open_loop(rate, seconds, lambda number: busy[number % len(busy)].send()), *map(now_and_then, quiet)
    )
    await asyncio.sleep(4)


def main(options: Options) -> Measured:
    """Row f."""
    seconds, rate = options.sustained, EVENTS_A_SECOND
    names = [f"s{number}" for number in range(SITES)]
    quiet = [Site(f"q{number}") for number in range(QUIET)]
    busy = [Site(name) for name in names[:WATCHED]]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "truycap.toml"
        every = [*names, *(site.name for site in quiet)]
        config.write_text(configured(every), "utf-8")
        requests = write_requests(Path(folder) / "single.lua", posts(names[WATCHED:]))
        environment = {"TRUYCAP_TRUSTED_PROXIES": "127.0.0.1"}
        with Up(Path(folder) / "data", "--config", str(config), **environment) as up, ThreadPoolExecutor(1) as thread:
            watched = rate * WATCHED / SITES
            others, length = rate - watched, seconds + 2 * WARM_UP_SECONDS
            loaded = thread.submit(load, up.url + "/v1/events", requests, length, rate=others)
            uvloop.run(measure(up.port, quiet, busy, watched, seconds))
            if (came := loaded.result(60).rate) < 0.98 * others:
                raise VoidError(f"only {came:,.0f} events/s came from the load, not {others:,.0f}")
    free, cadenced = (quantiles(chain.from_iterable(site.took() for site in sites), n=100) for sites in (quiet, busy))
    said = (
        f"p50 {free[49]:.2f} s, p99 {free[98]:.2f} s ({sum(site.sender.sent for site in quiet)} events); "
        f"of busy sites p50 {cadenced[49]:.2f} s, p99 {cadenced[98]:.2f} s"
    )
    what = f"202 to visible at {rate:,.0f} events/s"
    return [Result("f", what, said, "1 s", free[98], 1.0, 0.5, smaller=True)], []


if __name__ == "__main__":
    run(main, __doc__)
