"""A light load that does what the tracker does: what is not acknowledged is sent again, until it is.

With the same id and a higher attempt, so that in the end every event has been acknowledged, perhaps sent twice and
counted once.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from tests.compose.client import history, pageview, send, shown
from tests.compose.said import SmokeError, wait_for

_SENDERS = 4
_PAUSE_SECONDS = 0.1
_LEAST = 20
"""Fewer events would prove nothing."""
RECOVERY_SECONDS = 60.0


class Load:
    """Page views of ever new visitors, about 40 a second, so that each is a visit too."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.resent = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(_SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no more events, and wait until each that was begun is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(RECOVERY_SECONDS)
            if thread.is_alive():
                raise SmokeError(f"an event was not accepted within {RECOVERY_SECONDS:.0f} s")

    def _send(self) -> None:
        while not self._stop.is_set():
            event = pageview("")
            event["visitor"] = event["id"]
            self._until_accepted(event)
            self.acknowledged.add(event["id"])
            time.sleep(_PAUSE_SECONDS)

    def _until_accepted(self, event: dict[str, Any]) -> None:
        while True:
            try:
                send(event)
            except (OSError, HTTPException):
                event["attempt"] += 1
                self.resent += 1
                time.sleep(_PAUSE_SECONDS)
            else:
                return


@contextmanager
def counted_once(what: str) -> Iterator[Load]:
    """A load while the block runs, of which every event is then counted once, everywhere."""
    visits, pageviews = shown()[1:3]
    past_visits, past_pageviews, bots = history()
    load = Load()
    load.start()
    try:
        yield load
    finally:
        load.stop()
    sent = len(load.acknowledged)
    if sent < _LEAST:
        raise SmokeError(f"{what}: only {sent} events were sent")
    said = f"{what}: {sent} events accepted, {load.resent} sent again, each counted once"
    wait_for(said, lambda: shown()[1:3], (visits + sent, pageviews + sent), RECOVERY_SECONDS)
    wanted = (past_visits + sent, past_pageviews + sent, bots)
    wait_for(f"{what}: the same in the statistics", history, wanted, RECOVERY_SECONDS)
