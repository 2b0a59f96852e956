"""How a command of `truycap` runs: its options, its event loop, its exit code."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import uvloop
from cyclopts import Parameter
from rich.console import Console

from shared import ending, log
from shared.errors import TruycapError
from shared.settings import load_settings

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False, soft_wrap=True)

_OBJECTS = 20_000
"""More objects than freed ones, between two looks of the garbage collector; Python's own 700 come every 30 requests."""

OptionalData = Annotated[
    Path | None,
    Parameter(help="The folder of `truycap up`, running or not. By default the servers of the environment, or ./data."),
]
Config = Annotated[Path | None, Parameter(help="The file that names the sites (default: truycap.toml).")]


def fail(message: str, exit_code: int) -> None:
    """End the process with this exit code and one line that says why."""
    errors.print(f"truycap: {message}", style="red", markup=False, soft_wrap=True)
    end(exit_code)


def end(exit_code: int) -> None:
    """End the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that would wait for a thread in which ClickHouse's driver hangs.
    os._exit(exit_code)


def run(work: Coroutine[Any, Any, None], service: str = "truycap") -> None:
    """Do what a command does, and end the process. service: what its log lines are of."""
    try:
        settings = load_settings()
    except TruycapError:
        work.close()
        raise
    log.configure(settings.log_format, settings.log_level, service)
    # What is loaded by now stays: the collector need not look at it each time. And at full load a request is over long
    # before so many objects have come.
    gc.freeze()
    gc.set_threshold(_OBJECTS)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    runner.run(_stoppable(work))
    end(0)


async def _stoppable(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM cancels, as Ctrl-C does, until a server answers it (shared.serve). A second one changes nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101 - of runner.run

    def cancel() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        ending.begin(exit_code=143)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, cancel)
    await work
