"""Several processes of one service that share a port (SO_REUSEPORT: the kernel spreads the connections)."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from shared import exposition, log
from shared.ending import LAST_SECONDS, STOP_SIGNALS
from shared.errors import SaidError, SetupError
from shared.server import check_port

WORKER_OF = "--worker-of"
"""The option that tells a process that it is one of several, and the id of the process that started it."""
PROGRAM = [sys.executable, "-m", "services.cli"]
"""How a worker is started; the options follow."""
_RESTART_SECONDS = 1.0
_PARENT_SECONDS = 1.0
_KILL_SECONDS = LAST_SECONDS + 0.5
"""A worker ends by itself within LAST_SECONDS."""

logger = log.get(__name__)


async def run_workers(command: str, host: str, port: int, workers: int) -> None:
    """Keep `workers` processes of `truycap <command>` running until a signal comes."""
    check_port(host, port)
    arguments = [command, "--host", host, "--port", str(port), WORKER_OF, str(os.getpid())]
    with TemporaryDirectory(prefix="truycap-metrics-") as folder:
        await _keep_all(partial(_keep, arguments, folder), workers)


async def _keep_all(keep: Callable[[asyncio.Event], Awaitable[int | None]], workers: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    keepers = [asyncio.ensure_future(keep(stop)) for _ in range(workers)]
    await asyncio.wait([asyncio.create_task(stop.wait()), *keepers], return_when=asyncio.FIRST_COMPLETED)
    stop.set()  # also where a keeper could not start a process at all: gather raises why
    if SetupError.exit_code in await asyncio.gather(*keepers):
        raise SaidError(SetupError.exit_code)


async def _keep(arguments: Sequence[str], metrics: str, stop: asyncio.Event) -> int | None:
    """Start a process again and again; metrics: the folder of all workers' metrics.

    The exit code with which the last process ended of its own, None where it was stopped.
    """
    environment = os.environ | {exposition.FOLDER: metrics}
    first = True
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, env=environment, start_new_session=True)
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended, _KILL_SECONDS)
            if process.returncode is None:
                process.kill()
            return None
        if process.returncode == SetupError.exit_code and first:
            stop.set()  # it has said what must be set right; another try would say the same
            return process.returncode
        first = False  # what it misses from now on was there and may come back
        exposition.forget(process.pid, metrics)
        logger.error("a worker ended and is started again", pid=process.pid, exit_code=process.returncode)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RESTART_SECONDS)
    return None


def as_worker(parent: int | None) -> list[Coroutine[Any, Any, None]]:
    """What a worker watches beside its own work: that it does not outlive the process that started it."""
    return [_gone(parent)] if parent else []


async def _gone(parent: int) -> None:
    # Its id was told, for it may have died before this process came so far as to ask.
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_SECONDS)
