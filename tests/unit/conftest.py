"""A unit test that reaches for a server or a process fails: it belongs in tests/integration."""

import multiprocessing.process
import socket
import subprocess
from typing import Any, NoReturn

import chdb
import clickhouse_connect
import pytest
from chdb.state import sqlitelike


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test that connects a socket, opens a store or starts a process.

    asyncio's own pair of sockets is not connected by name and so still works. uvloop's connections are not seen.
    With the test's own monkeypatch: what both have changed is put back in one order.
    """
    for owner, name, what in (
        (socket.socket, "connect", "connects a socket"),
        (socket.socket, "connect_ex", "connects a socket"),
        (chdb, "connect", "opens chDB"),
        (chdb, "query", "opens chDB"),
        (chdb, "sql", "opens chDB"),
        (sqlitelike.Connection, "__init__", "opens chDB"),  # what its sessions and its DB-API have in common
        (clickhouse_connect, "get_client", "opens a store"),
        (subprocess.Popen, "__init__", "starts a process"),
        (multiprocessing.process.BaseProcess, "start", "starts a process"),
    ):
        monkeypatch.setattr(owner, name, _forbidden(what))


def _forbidden(what: str) -> Any:
    def forbidden(*arguments: object, **_: object) -> NoReturn:
        if arguments and isinstance(arguments[0], socket.socket):
            arguments[0].close()  # its maker closes it on an OSError alone; a warning would hide the message
        # pytest's own exception, which no `except Exception` of the code under test swallows.
        pytest.fail(f"A unit test {what}. Use a fake, or move the test to tests/integration.")

    return forbidden
