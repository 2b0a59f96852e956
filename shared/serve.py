"""Running an HTTP server until a signal comes: granian, in this process and its event loop."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server as Granian

from shared import ending, log
from shared.ending import within
from shared.errors import SetupError
from shared.http import Server

_BACKLOG = 2048
_START_TRIES = 250
_BACKPRESSURE = 16_384
"""Requests and streams in progress; beyond it the server does not take new ones."""

logger = log.get(__name__)


def check_port(host: str, port: int) -> None:
    """SetupError where nothing can listen there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupError(f"Cannot listen on {host}:{port} ({reason}). Choose another with --port.") from None


def _allow_many_connections() -> None:
    """As many open files as this process may ask for: each live stream is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _until_listening(host: str, port: int, serving: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    where = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    for _ in range(_START_TRIES):
        if serving.done() or stop.is_set():
            return
        try:
            _, writer = await asyncio.open_connection(where, port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


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
    if not share_port:
        check_port(host, port)
    granian = Granian(
        server,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        backlog=_BACKLOG,
        backpressure=_BACKPRESSURE,
    )
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
    serving = asyncio.create_task(granian.serve())
    watched = [asyncio.ensure_future(awaitable) for awaitable in watch]
    stopping = asyncio.create_task(stop.wait())
    try:
        await _until_listening(host, port, serving, stop)
        ready()
        done, _ = await asyncio.wait([stopping, serving, *watched], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not stop.is_set():
            ending.begin(exit_code=1)
        for task in (stopping, *watched):
            task.cancel()
        granian.stop()  # type: ignore[no-untyped-call]
        await within(ending.REQUESTS_SECONDS, drain(), asyncio.shield(serving))
    for task in done - {stopping}:
        await task
    if serving in done:
        raise SetupError(f"The server on {host}:{port} ended by itself.")
