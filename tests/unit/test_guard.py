"""A unit test cannot reach a server: the guard in this folder's conftest fails it."""

import asyncio
import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path

import chdb
import clickhouse_connect
import pytest
from chdb import session

from shared.clickhouse import ClickHouse
from shared.redis import client

forbidden = pytest.raises(pytest.fail.Exception, match=r"A unit test .* move the test to tests/integration")


def test_connecting_a_socket_fails() -> None:
    with forbidden, socket.create_connection(("127.0.0.1", 9)):
        pass
    with socket.socket() as probe, forbidden:
        probe.connect_ex(("127.0.0.1", 9))


async def test_connecting_through_asyncio_fails() -> None:
    with forbidden:
        await asyncio.open_connection("127.0.0.1", 9)
    with forbidden:
        await asyncio.open_unix_connection("nowhere.sock")


async def test_asking_redis_fails() -> None:
    redis = client("redis://127.0.0.1:9/0")
    with forbidden:
        await redis.ping()
    await redis.aclose()


async def test_opening_a_store_fails(tmp_path: Path) -> None:
    for dsn in (f"chdb://{tmp_path}", "http://127.0.0.1:9/truycap"):
        with forbidden:
            await ClickHouse.connect(dsn)
    with forbidden:
        clickhouse_connect.get_client(interface="chdb", path=str(tmp_path))
    with forbidden:
        chdb.connect(str(tmp_path))  # type: ignore[no-untyped-call]
    with forbidden:
        chdb.query("SELECT 1")  # type: ignore[no-untyped-call]
    with forbidden:
        session.Session()  # type: ignore[no-untyped-call]


async def test_starting_a_process_fails() -> None:
    with forbidden:
        subprocess.run([sys.executable, "--version"], check=True)
    with forbidden:
        await asyncio.create_subprocess_exec(sys.executable, "--version")
    with forbidden:
        multiprocessing.get_context("spawn").Process().start()


async def test_the_event_loop_still_works() -> None:
    assert await asyncio.to_thread(lambda: 1) == 1
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"still")
        assert right.recv(5) == b"still"
