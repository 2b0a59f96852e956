"""Structured logs: JSON in containers, readable on a terminal. No addresses and no visitors go in.

What is a fact about a line stands in fields: `service`, and where they apply `shard`, `batch` (the token that the batch
has in ClickHouse), `trace_id`. A traceback is the field `exception`.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from shared.errors import described, without_data

about = structlog.contextvars.bound_contextvars
"""`with about(shard=3):` all lines of this task have these fields meanwhile, those of libraries too."""
_LEVELS = {
    "services.counter.app.faststream": "WARNING",
    "redis": "WARNING",
    "clickhouse_connect": "WARNING",
    # What these say is in the error, which is logged by who called them; beside it they write addresses in full.
    "clickhouse_connect.driver._backend": "CRITICAL",
    "urllib3": "CRITICAL",
    "stamina": "CRITICAL",
}
"""The least level of libraries' lines."""


def configure(log_format: Literal["auto", "json", "text"], level: str, service: str = "truycap") -> None:
    """Send structlog's and the libraries' records to standard error in one format, each with the service's name."""
    readable = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())

    def add_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_service,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if readable else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level.upper())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*processors, _without_data],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[*processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _without_data(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's line as one line. Ours are constants with fields."""
    event["event"] = without_data(str(event["event"]))
    return event


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """The frames of an error and of those that led to it, without data: neither variables nor what messages quote."""
    error: BaseException | None = exc_info[1]
    parts: list[str] = []
    while error:
        parts.append("".join(traceback.format_tb(error.__traceback__)) + described(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nled to:\n".join(reversed(parts))


def without_traceback(record: logging.LogRecord) -> bool:
    """A logging filter for a library that logs tracebacks: the error in one line, and nothing for a cancellation."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error:
        record.msg, record.args = f"{record.getMessage()}: {described(error)}", ()
        record.exc_info = None
    return not isinstance(error, asyncio.CancelledError)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger by name."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


class Outage:
    """What fails for a while is said twice, however often it is tried: when it begins, and when it is over."""

    def __init__(self, logger: structlog.stdlib.BoundLogger, begins: str, ends: str) -> None:
        self._logger = logger
        self._begins = begins
        self._ends = ends
        self._failing = False

    def failed(self, error: str) -> None:
        """It was tried in vain."""
        if not self._failing:
            self._logger.warning(self._begins, error=error)
        self._failing = True

    def over(self) -> None:
        """It was tried and did not fail."""
        if self._failing:
            self._logger.info(self._ends)
        self._failing = False
