"""Structured logs: JSON in containers, readable on a terminal. No addresses and no visitors go in."""

import asyncio
import logging
import sys
from typing import Literal

import structlog


def configure(log_format: Literal["auto", "json", "text"], level: str) -> None:
    """Send structlog's and the libraries' records to standard error in one format."""
    readable = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if readable else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if readable else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("services.counter.app.faststream", "redis", "granian", "_granian", "clickhouse_connect"):
        logging.getLogger(name).setLevel("WARNING")
    structlog.configure(
        processors=[*processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def without_traceback(record: logging.LogRecord) -> bool:
    """A logging filter for a library that logs tracebacks: the error in one line, and nothing for a cancellation."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error:
        record.msg, record.args = f"{record.getMessage()}: {error!r}", ()
        record.exc_info = None
    return not isinstance(error, asyncio.CancelledError)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger by name."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
