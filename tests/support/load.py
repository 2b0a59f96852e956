"""Visitors that never rest: page views from a thread, and which of them were acknowledged."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from itertools import count
from typing import Self
from uuid import uuid4

from tests.support.counting import PERSON

_PER_REQUEST = 5
_PAUSE_SECONDS = 0.01


class Load:
    """Sends page views of these sites in turn until it is left, each once. url: of ingest."""

    def __init__(self, url: str, sites: Sequence[str]) -> None:
        self._url = f"{url}/v1/events"
        self._sites = sites
        self._acknowledged: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    @property
    def acknowledged(self) -> frozenset[str]:
        """The ids of the events that were answered 202 so far."""
        return frozenset(self._acknowledged)

    def _run(self) -> None:
        for number in count():
            site = self._sites[number % len(self._sites)]
            events = [
                {
                    "type": "pageview",
                    "site": site,
                    "id": str(uuid4()),
                    "url": f"https://hue.example.vn/{number % 7}",
                    "visitor": f"v{number}-{member}",
                }
                for member in range(_PER_REQUEST)
            ]
            headers = {"user-agent": PERSON, "content-type": "text/plain"}
            request = urllib.request.Request(self._url, json.dumps(events).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    assert answer.status == 202
                self._acknowledged += [str(event["id"]) for event in events]
            except OSError:  # not acknowledged: nothing was promised
                pass
            if self._ended.wait(_PAUSE_SECONDS):
                return
