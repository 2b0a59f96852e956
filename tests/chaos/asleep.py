"""A process that is stopped for a while, and then goes on as if nothing had been."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.chaos.points import MissedError
from tests.chaos.service import STOP_SECONDS


async def asleep(pid: int, meanwhile: Callable[[], Awaitable[None]], *, already: bool) -> None:
    """SIGSTOP, unless it is stopped already; SIGCONT after the rest. MissedError where it is gone."""
    if not already and not send(pid, signal.SIGSTOP):
        raise MissedError
    ends = time.monotonic() + STOP_SECONDS
    while _state(pid) not in {"T", ""} and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    try:
        await meanwhile()
    finally:
        send(pid, signal.SIGCONT)


def send(pid: int, number: int) -> int:
    """A signal; 1 where there was somebody to hear it, else 0."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return 0
    return 1


def _state(pid: int) -> str:
    """The letter of /proc that says what a process does, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
