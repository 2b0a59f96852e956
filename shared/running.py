"""A service's process from start to end: its traces, where they are wanted, and a line in the log at either end."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from shared import log, tracing
from shared.settings import Settings
from shared.sites import Sites

logger = log.get(__name__)


@asynccontextmanager
async def running(
    service: str, settings: Settings, sites: Sites, port: int, *, spans: bool = True
) -> AsyncIterator[Callable[[], None]]:
    """Around all that the service is. What it yields is to be called once the service runs.

    spans: whether it makes any; SetupError where they are to be sent and cannot be.
    """
    runs = False

    def say() -> None:
        nonlocal runs
        runs = True
        logger.info(
            "runs",
            version=version("truycap"),
            pid=os.getpid(),
            port=port,
            shards=settings.shards,
            sites=len(sites),
            traces=traces,
        )

    traces = spans and tracing.configure(service)
    try:
        yield say
    finally:
        await tracing.stop()
        if runs:
            logger.info("stopped", pid=os.getpid())
