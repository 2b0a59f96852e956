"""Lines of the log: one JSON object each, with the service's name, and nothing of what a message quotes."""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from shared import log
from shared.errors import described, without_data

ADDRESS, PATH = "203.0.113.77", "/a path"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What has been written so far, decoded; logging is put back afterwards."""
    written = StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []  # pytest's would be closed
    log.configure("json", "info", "ingest")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def look_up(address: str, path: str) -> None:
    try:
        dict[str, int]()[address]
    except KeyError as error:
        raise ValueError(f"'{address}' is no address\nof '{path}' in table 'events'") from error


def test_a_line_has_the_service_and_what_it_is_about(lines: Any) -> None:
    with log.about(shard=3, batch="3:abc"):
        log.get("services.x").info("counted", events=7)
        logging.getLogger("redis").warning("a library's %s", "words")
    logging.getLogger("redis").info("too much of it")
    ours, library = lines()
    assert {"event": "counted", "events": 7, "service": "ingest", "shard": 3, "batch": "3:abc"}.items() <= ours.items()
    assert {"event": "a library's words", "service": "ingest", "shard": 3}.items() <= library.items()


def test_a_traceback_is_a_field_and_has_neither_variables_nor_data(lines: Any) -> None:
    try:
        look_up(ADDRESS, PATH)
    except ValueError:
        log.get("services.x").exception("request failed", route="/v1/events")
        logging.getLogger("asyncio").exception("Task failed: %r", ValueError(ADDRESS))
    ours, library = lines()
    for line in (ours, library):
        assert ADDRESS not in json.dumps(line)
        assert PATH not in json.dumps(line)
        assert "in look_up" in line["exception"]
        assert "KeyError: '…'\n\nled to:\n" in line["exception"]
        assert line["exception"].endswith("ValueError: '…' is no address of '…' in table 'events'")
    assert library["event"] == "Task failed: ValueError('…')"


def test_a_warning_is_a_line_too(lines: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert "soon gone" in line["event"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Unknown identifier 'truycap.events'", "Unknown identifier 'truycap.events'"),
        ("Cannot parse string '/tin-tuc/a' as UInt64", "Cannot parse string '…' as UInt64"),
        ("invalid literal: '123'", "invalid literal: '…'"),
        ('unknown "XADD", with args: "{0}:events" "\\"v"', "unknown \"XADD\", with args: '…' '…'"),
        ("it's\n  fine", "it's fine"),
    ],
)
def test_a_library_s_message_keeps_names_and_loses_data(message: str, line: str) -> None:
    assert without_data(message) == line


def test_an_error_that_says_nothing_is_its_type() -> None:
    assert described(TimeoutError()) == "TimeoutError"
