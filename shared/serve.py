"""Running an HTTP server until a signal comes: in this process and its event loop."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from shared import ending, log
from shared.ending import within
from shared.server import Server, listen

logger = log.get(__name__)


def _allow_many_connections() -> None:
    """As many open files as this process may ask for: each live stream is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _nothing() -> None:
    """Nothing to drain."""


async def serve(
    server: Server,
    host: str,
    port: int,
    *,
    share_port: bool = False,
    drain: Callable[[], Awaitable[None]] = _nothing,
    watch: Sequence[Awaitable[Any]] = (),
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop taking requests and finish those at hand; `shared.ending` says how long.

    share_port: other processes listen on the same port. drain: ends what would keep the server from stopping (open
    streams). watch: what should run as long as the server; whichever of them ends first ends the server, and its error
    is raised. ready: called once the server listens.
    """
    listening = listen(host, port, share_port=share_port)
    _allow_many_connections()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def told_to_stop() -> None:
        if not stop.is_set():
            ending.begin()
            stop.set()

    for number in ending.STOP_SIGNALS:  # they stay: a second signal must not cut the end short
        loop.add_signal_handler(number, told_to_stop)
    if (task := asyncio.current_task()) and task.cancelling():  # told while it started, and a library lost it
        told_to_stop()
    watched = [asyncio.ensure_future(awaitable) for awaitable in watch]
    stopping = asyncio.create_task(stop.wait())
    try:
        await server.start(listening)
        watched.append(asyncio.ensure_future(server.failed()))
        ready()
        done, _ = await asyncio.wait([stopping, *watched], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not stop.is_set():
            ending.begin(exit_code=1)
        for task in (stopping, *watched):
            task.cancel()
        await within(ending.REQUESTS_SECONDS, drain(), server.stop())
    for task in done - {stopping}:
        await task
