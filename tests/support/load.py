"""Visitors that never rest: page views from a thread, and which of them were acknowledged."""

import json
import threading
import urllib.request
from itertools import count
from typing import Self
from uuid import uuid4

from tests.support.counting import PERSON

_PER_REQUEST = 5
_PAUSE_SECONDS = 0.01


class Load:
    """Sends page views of a site until it is left, each once. url: of ingest."""

    def __init__(self, url: str, site: str) -> None:
        self._url = f"{url}/v1/events"
        self._site = site
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
            events = [
                {
                    "type": "pageview",
                    "site": self._site,
                    "id": str(uuid4()),
                    "url": f"https://portal.example.vn/{number % 7}",
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
