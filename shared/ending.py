"""Ending: a process that is told to stop has ended within 10 seconds, whatever hangs.

Its parts follow each other, each within its share; what is not done by then is given up. Nothing is lost by that: a
request without an answer is sent again, and a batch that was not applied stays pending for whoever has the shard next.
"""

import asyncio
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Collection
from typing import Any

from shared import log
from shared.errors import described

REQUESTS_SECONDS = 2.0
"""First the server finishes its requests. Those of ingest wait for 1 s at most (publish.py)."""
BATCHES_SECONDS = 3.0
"""Then the services finish what they have at hand: the counter a batch of each shard."""
CLOSING_SECONDS = 1.0
"""Then their connections are closed, all at the same time; in `truycap up` the store of all after those."""
CHILD_SECONDS = 1.0
"""Last, the Redis of `truycap up` ends."""
TRACES_SECONDS = 0.5
"""Very last, where there are traces, the end of them is sent."""
GIVING_UP_SECONDS = 0.5
"""What is given up may clean up for so long."""
LAST_SECONDS = 9.0
"""Who has not ended by then, for a reason that nobody thought of, ends at once. All the parts together fit in."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = log.get(__name__)


def begin(exit_code: int = 0) -> None:
    """The end begins: LAST_SECONDS from now, the process exits with this code if it still runs."""
    timer = threading.Timer(LAST_SECONDS, _exit, [exit_code])
    timer.daemon = True
    timer.start()


async def within(seconds: float, *works: Awaitable[Any]) -> None:
    """Let all of them end, at the same time, and after so many seconds give up those that have not.

    Errors are logged, for whatever else must end all the same.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    await cancelled(*late, seconds=GIVING_UP_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()):
            logger.warning("not ended in good order", error=described(error))


async def cancelled(*tasks: asyncio.Future[Any], seconds: float = math.inf) -> None:
    """Cancel tasks until they have ended, for so many seconds at most.

    Once is not enough: on its way out a cancellation can be lost in a library's time-out.
    """
    ends = time.monotonic() + seconds
    waiting = {task for task in tasks if not task.done()}
    while waiting and time.monotonic() < ends:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=GIVING_UP_SECONDS)


async def failed(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Returns never; raises what ended one of the tasks, which nobody else would notice."""
    # Not gather: who stops waiting here must not cancel what is at hand.
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        if not task.cancelled():
            task.result()
    await asyncio.Event().wait()


def _exit(exit_code: int) -> None:
    logger.error("something hangs and is given up")
    sys.stderr.flush()
    os._exit(exit_code)
