"""SIGKILL for each container's process under a light load, with the totals exact after each.

The load does what the tracker does: what is not acknowledged is sent again with the same id and a higher attempt, until
it is. So in the end every event has been acknowledged, perhaps twice sent and once counted.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.compose.client import history, pageview, send, shown
from tests.compose.project import SERVICES, Project
from tests.compose.said import SmokeError, expect, wait_for
from tests.compose.smoke import check_verify

_SENDERS = 4
_PAUSE_SECONDS = 0.1
_UNDER_LOAD_SECONDS = 2.0
_LEAST = 20
"""Fewer events would prove nothing."""
_RECOVERY_SECONDS = 60.0


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
            thread.join(_RECOVERY_SECONDS)
            if thread.is_alive():
                raise SmokeError(f"an event was not accepted within {_RECOVERY_SECONDS:.0f} s")

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
            except OSError:
                event["attempt"] += 1
                self.resent += 1
                time.sleep(_PAUSE_SECONDS)
            else:
                return


@contextmanager
def _load() -> Iterator[Load]:
    load = Load()
    load.start()
    try:
        yield load
    finally:
        load.stop()


def check_kills(project: Project) -> None:
    """Each container in turn."""
    for service in SERVICES:
        _check_kill(project, service)
    listed = project.compose("exec", "-T", "api", "truycap", "dead-letters", "list")
    expect("nothing was dead-lettered", listed.strip(), "There are no dead letters.")


def _check_kill(project: Project, service: str) -> None:
    """After it has come back the numbers say what was acknowledged, everywhere."""
    visits, pageviews = shown()[1:3]
    past_visits, past_pageviews, bots = history()
    with _load() as load:
        time.sleep(_UNDER_LOAD_SECONDS / 2)
        restarts = project.kill(service)
        wait_for(
            f"{service}: killed, healthy again", lambda: project.is_back(service, restarts), True, _RECOVERY_SECONDS
        )
        time.sleep(_UNDER_LOAD_SECONDS / 2)
    sent = len(load.acknowledged)
    if sent < _LEAST:
        raise SmokeError(f"only {sent} events were sent around the kill of {service}")
    what = f"{service}: {sent} events accepted, {load.resent} sent again"
    wait_for(f"{what}, each counted once", lambda: shown()[1:3], (visits + sent, pageviews + sent), _RECOVERY_SECONDS)
    wanted = (past_visits + sent, past_pageviews + sent, bots)
    wait_for(f"{service}: the same in the statistics", history, wanted, _RECOVERY_SECONDS)
    check_verify(project)
