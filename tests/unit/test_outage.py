"""What is read again and again says once that it fails, and once that it is read again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.api import snapshots, watch
from services.api.snapshots import Snapshots
from services.counter import room
from services.counter.truth import sql
from shared.errors import SetupError
from tests.support.counting import SITES

FAILS = 3


class Trouble:
    """A Redis and a ClickHouse that fail a few times, then answer. enough: set when they have been asked some more."""

    def __init__(self) -> None:
        self.asked = 0
        self.enough = asyncio.Event()

    def _answer(self) -> None:
        self.asked += 1
        if self.asked <= FAILS:
            raise SetupError("What was said of 'a visitor' is refused.")
        if self.asked > FAILS + 3:
            self.enough.set()

    async def query(self, question: str) -> list[tuple[int, int]]:
        self._answer()
        return [(1, 2)] if question == sql("disk") else []

    async def info(self, _: str) -> dict[str, int]:
        self._answer()
        return {"used_memory": 1, "maxmemory": 2}

    def pipeline(self, **_: bool) -> "Trouble":
        self._answer()
        return self

    async def __aenter__(self) -> "Trouble":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def ping(self) -> None: ...

    async def execute(self) -> list[bool]:
        return [True]


READERS: dict[str, Callable[[Any], Awaitable[None]]] = {
    "the read model": lambda redis: Snapshots(redis, SITES, lambda: 0)._keep_reading(),
    "Redis": lambda redis: watch.watch(redis, 0, lambda: 0),
    "ClickHouse": room.watch_room,
}


@pytest.mark.parametrize("what", READERS)
async def test_an_outage_is_said_once_and_that_it_is_over(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, seconds in ((snapshots, "LOOK_SECONDS"), (watch, "WATCH_SECONDS"), (room, "ROOM_SECONDS")):
        monkeypatch.setattr(module, seconds, 0.0)
    trouble = Trouble()
    with capture_logs() as lines:
        reading = asyncio.ensure_future(READERS[what](trouble))
        async with asyncio.timeout(5):
            await trouble.enough.wait()
        reading.cancel()
    assert [line["log_level"] for line in lines] == ["warning", "info"]
    assert all(what in line["event"] for line in lines)
    assert lines[0]["error"] == "SetupError: What was said of '…' is refused."
