"""The named points at which a process can be killed or stopped, and how it is told to.

The suite puts a file with a point's name into a folder ("arms" the point); the process that comes to the point and
takes the file away first sends itself the signal that the file names. So it dies exactly there, whoever it is.
"""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.01
_LEAST_ENTRIES = 10
_MOST_EVENTS = 60


class MissedError(Exception):
    """No process came to the point in time."""


class Point(StrEnum):
    """Where: in the order of an event's way."""

    BEFORE_XADD = "before XADD"
    AFTER_XADD = "after XADD"
    TAKING_SHARD = "taking a shard"
    BATCH_READ = "batch read"
    HANDED_OVER = "handed over, to be written while more is read"
    BEFORE_INSERT = "before the insert"
    INSERTING = "inserting"
    INSERTED = "inserted, not applied"
    APPLYING = "applying"
    APPLIED = "applied, before the next read"
    RECOVERING = "recovering"
    LEVELLING = "recovering, before the roll-ups are levelled"
    RECOVERED_INSERTED = "recovering, inserted"


class Armoury:
    """The folder of armed points, as the suite sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: Point, *, number: int = signal.SIGKILL, delay: float = 0.0) -> None:
        """Whoever comes to the point next sends itself this signal, `delay` seconds later."""
        waiting = self.folder / f".{point}"
        waiting.write_text(json.dumps({"signal": int(number), "delay": delay}), "utf-8")
        waiting.rename(self.folder / point)

    async def hit(self, point: Point, seconds: float) -> int | None:
        """The id of the process that came to the point, None (and the point disarmed) where none did in time."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for taken in self.folder.glob(f"{point}@*"):
                taken.unlink()
                return int(taken.name.rpartition("@")[2])
            await asyncio.sleep(_POLL_SECONDS)
        (self.folder / point).unlink(missing_ok=True)
        for taken in self.folder.glob(f"{point}@*"):  # taken at the last moment
            taken.unlink()
            return int(taken.name.rpartition("@")[2])
        return None


def reached(folder: Path, point: Point) -> None:
    """Called by a process at a point."""
    taken = folder / f"{point}@{os.getpid()}"
    try:
        (folder / point).rename(taken)
    except FileNotFoundError:
        return
    order = json.loads(taken.read_text("utf-8"))
    if order["delay"]:
        threading.Timer(order["delay"], os.kill, (os.getpid(), order["signal"])).start()
    else:
        os.kill(os.getpid(), order["signal"])


def install(folder: Path) -> None:
    """Put the points into the program of this process."""
    from services.counter import ahead, consume, ensure, session
    from services.counter.batch import Batch
    from services.counter.resent import RecentIds
    from services.ingest import publish
    from shared.clickhouse import ClickHouse

    def at(*points: Point) -> Callable[..., None]:
        """points: for an ordinary batch, and for one that is recovered where that is another."""

        def look(*arguments: object) -> None:
            recovered = any(isinstance(value, Batch) and value.recovered for value in arguments)
            reached(folder, points[-1] if recovered else points[0])

        return look

    # Batches of 60 events are full, so that one is written while the next is read: else that were rare.
    ahead.LEAST_ENTRIES = _LEAST_ENTRIES
    ahead.MOST_EVENTS = _MOST_EVENTS
    _around(publish, "append_packed", before=at(Point.BEFORE_XADD), after=at(Point.AFTER_XADD))
    _around(RecentIds, "load", before=at(Point.TAKING_SHARD))
    _around(consume.BatchCounter, "count", before=at(Point.BATCH_READ, Point.RECOVERING))
    _around(session, "hand_over", after=at(Point.HANDED_OVER))
    _around(ClickHouse, "insert", before=at(Point.BEFORE_INSERT))
    _around(ClickHouse, "insert", before=at(Point.INSERTING))
    _around(consume, "write_once", after=at(Point.INSERTED))
    _around(ensure, "_level", before=at(Point.LEVELLING))
    _around(consume, "ensure_written", after=at(Point.RECOVERED_INSERTED))
    _around(consume, "apply", before=at(Point.APPLYING), after=at(Point.APPLIED))


def _around(
    owner: Any,
    name: str,
    *,
    before: Callable[..., None] = lambda *_: None,
    after: Callable[..., None] = lambda *_: None,
) -> None:
    """Call these around an async function or method of a module or class."""
    function = getattr(owner, name)

    async def wrapped(*arguments: Any, **options: Any) -> Any:
        before(*arguments)
        result = await function(*arguments, **options)
        after(*arguments)
        return result

    setattr(owner, name, wrapped)
