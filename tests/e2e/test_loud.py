"""A service that cannot go on says in one line what is wrong and what to do; one that can waits, and loses nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared.sites import Sites
from shared.streams import append
from tests.support.counting import HANOI, pageview
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.stack import Stack, until
from tests.support.truycap import Service, Up


def said(service: Service) -> list[str]:
    """The lines that the service wrote beside its log, once it has ended with exit code 2."""
    assert service.wait(30) == 2, service.output
    assert "Traceback" not in service.output
    return [line for line in service.output.splitlines() if not line.startswith("{")]


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of 64 MB of its own; the test is skipped where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        for option in options:
            subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """The file that takes all that is left."""
    file = disk / "fill"
    with suppress(OSError), file.open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(65536))
    return file


def test_one_shard_without_its_table_ends_the_counter_of_all(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        stack = Stack(tmp_path, redis, clickhouse.dsn + "truycap", TRUYCAP_SHARDS="3")
        (line,) = said(stack.service("counter").launch())
        assert "truycap migrate" in line
        stack.migrate()
        with stack.service("counter") as counter:
            httpx.post(
                clickhouse.dsn, params={"database": "truycap"}, content="DROP TABLE events SYNC"
            ).raise_for_status()
            shard = Sites([HANOI], shards=3).shard(HANOI.id)
            stack.ask(lambda redis: append(redis, shard, [pageview()]))
            _, line = said(counter)  # the log is the same
            assert "events" in line
            assert "truycap migrate" in line
        assert stack.ask(lambda redis: redis.exists("{0}:lease", "{1}:lease", "{2}:lease")) == 0


def test_a_clickhouse_that_refuses_the_user(tmp_path: Path) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            text = b"Code: 516. DB::Exception: truycap: Authentication failed. (AUTHENTICATION_FAILED)\n"
            self.send_response(403)
            self.send_header("X-ClickHouse-Exception-Code", "516")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815 (the base class's name)

        def log_message(self, *_: object) -> None:
            pass

    with RedisServer(tmp_path / "redis") as redis, ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack = Stack(tmp_path, redis, f"http://truycap:wrong@127.0.0.1:{server.server_port}/truycap")
        (line,) = said(stack.service("counter").launch())
        server.shutdown()
    assert "Authentication failed" in line
    assert "TRUYCAP_CLICKHOUSE_DSN" in line
    assert "wrong" not in line


def test_a_worker_that_finds_no_redis_any_more_is_started_until_there_is_one(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        stack = Stack(tmp_path, redis, clickhouse.dsn + "truycap")
        with stack.service("ingest", "--workers", "2") as ingest:
            until(lambda: ingest.output.count('"runs"') == 2, "both run")
            killed, other = ingest.children()
            redis.kill()
            os.kill(killed, signal.SIGKILL)
            until(lambda: ingest.output.count("started again") >= 2, "it was started in vain")
            assert other in ingest.children()
            redis.start()
            until(lambda: ingest.output.count('"runs"') == 3, "it runs again")
            assert other in ingest.children()


def test_a_chdb_folder_that_another_process_has(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        folder = tmp_path / "chdb"
        stack = Stack(tmp_path, redis, f"chdb://{folder}").migrate()
        with stack.service("counter") as first:
            second = stack.service("counter")
            second.log = tmp_path / "second.log"
            (line,) = said(second.launch())
            assert f"{folder} is in use by process {first.pid}" in line
            assert "Stop that one" in line


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, small_disk(tmp_path / "disk", "ro") as disk:
        stack = Stack(tmp_path, redis, f"chdb://{disk}")
        (line,) = said(stack.service("counter").launch())
        assert f"{disk} cannot be used (Read-only file system)" in line
        up = Service(tmp_path / "up.log", "up", "--data", str(disk / "data"))
        (line,) = said(up.launch())
        assert "cannot be used (Read-only file system)" in line


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        up = Service(tmp_path / "up.log", "up", "--data", str(disk / "data"))
        (line,) = said(up.launch())
        assert "space" in line


def test_a_counter_waits_while_the_disk_is_full(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, small_disk(tmp_path / "disk") as disk:
        stack = Stack(tmp_path, redis, f"chdb://{disk}/chdb").migrate()
        with stack.service("counter") as counter:
            stack.ask(lambda redis: append(redis, 0, [pageview()]))
            until(lambda: not stack.waiting(), "the first event is counted")
            filling = fill(disk)
            for _ in range(5):
                stack.ask(lambda redis: append(redis, 0, [pageview() for _ in range(200)]))
            until(lambda: "the store failed and is tried again" in counter.output, "the disk is full")
            time.sleep(3)
            assert stack.waiting() == 5
            filling.unlink()
            until(lambda: not stack.waiting(), "all is counted")
            assert counter.stop() == 0
        stack.verify()


def test_up_whose_redis_dies_and_cannot_start_again(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        (redis,) = up.children()
        (manifest,) = (up.data / "redis").glob("appendonlydir/*.manifest")
        manifest.write_text("not a manifest\n", "utf-8")
        os.kill(redis, signal.SIGKILL)
        assert "Redis did not start; its last words are in" in said(up)[-1]


def test_up_whose_counter_fails(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        pass
    store = str(up.data / "clickhouse")
    subprocess.run(
        [sys.executable, "-c", f"import chdb; chdb.connect({store!r}).query('DROP TABLE truycap.events')"],
        check=True,
        timeout=60,
    )
    with up:
        up.fetch("/v1/pixel.gif?site=demo&url=http://x.vn/a")
        line = said(up)[-1]
        assert "UNKNOWN_TABLE" in line
        assert "truycap migrate" in line
