"""SIGTERM ends every service within ten seconds with exit code 0, whatever hangs, and what was accepted is counted."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from shared.streams import append
from tests.support.counting import PERSON, pageview
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.stack import Stack, hanging, until
from tests.support.truycap import Service, Up, run

PROMISE = 10.0
WORKERS = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, clickhouse: ClickHouseServer) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("ends")
    with RedisServer(folder / "redis") as redis:
        yield Stack(folder, redis, clickhouse.dsn + "truycap").migrate()


def ends(service: Service, *more: int) -> None:
    """SIGTERM, and soon after it more signals, end the service as it promises."""
    started = time.monotonic()
    service.send(signal.SIGTERM)
    for number in more:
        time.sleep(0.3)
        service.send(number)
    code = service.wait(30)
    seconds = time.monotonic() - started
    print(f"{os.environ.get('PYTEST_CURRENT_TEST')}: {seconds:.1f} s")
    assert code == 0, service.output
    assert seconds < PROMISE, service.output
    assert "Traceback (" not in service.output.replace("\\n", "")


def view(service: Service, site: str) -> int:
    """Send a page view; the status that answered it, 0 where none did."""
    event = {"type": "pageview", "site": site, "id": str(uuid4()), "url": "https://x.vn/"}
    request = urllib.request.Request(
        f"{service.url}/v1/events", json.dumps(event).encode(), {"user-agent": PERSON, "content-type": "text/plain"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def listen(service: Service, site: str) -> threading.Event:
    """A live stream that is read; set once it has ended."""
    began, ended = threading.Event(), threading.Event()

    def read() -> None:
        with suppress(OSError), urllib.request.urlopen(f"{service.url}/v1/sites/{site}/live", timeout=30) as stream:
            while stream.read(1):
                began.set()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert began.wait(10)
    return ended


@contextmanager
def not_reading(service: Service, path: str) -> Iterator[None]:
    """A client that asks again and again and reads none of the answers, until neither side can send any more."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(1)
        with suppress(TimeoutError):
            while True:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 100)
        yield


@WORKERS
def test_ingest_in_good_order(stack: Stack, workers: int) -> None:
    with stack.service("ingest", "--workers", str(workers)) as ingest:
        assert view(ingest, "hanoi") == 202
        ends(ingest, signal.SIGINT)
    stack.until_all_is_counted()


def test_counter_in_good_order(stack: Stack) -> None:
    with stack.service("counter") as counter:
        stack.ask(lambda redis: append(redis, 0, [pageview(visitor=number) for number in range(500)]))
        ends(counter, signal.SIGINT)
    stack.until_all_is_counted()


@WORKERS
def test_api_with_live_clients(stack: Stack, workers: int) -> None:
    with stack.service("api", "--workers", str(workers)) as api:
        streams = [listen(api, "hanoi") for _ in range(10)]
        ends(api, signal.SIGINT)
        assert all(stream.wait(5) for stream in streams)


@WORKERS
@pytest.mark.parametrize("path", ["/v1/sites/hanoi/live", "/v1/sites/hanoi/counts.html"])
def test_api_with_clients_that_do_not_read(stack: Stack, workers: int, path: str) -> None:
    with stack.service("api", "--workers", str(workers)) as api, not_reading(api, path), not_reading(api, path):
        ends(api)


def test_api_while_clickhouse_hangs(stack: Stack, clickhouse: ClickHouseServer) -> None:
    with stack.service("api") as api, hanging(clickhouse):
        url = f"{api.url}/v1/sites/hanoi/stats/top?dimension=page"
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(lambda: urllib.request.urlopen(url, timeout=20))
            time.sleep(0.5)
            ends(api)
            assert isinstance(asked.exception(), OSError)


@WORKERS
def test_api_while_redis_hangs(stack: Stack, workers: int) -> None:
    with stack.service("api", "--workers", str(workers)) as api:
        stream = listen(api, "hanoi")
        with hanging(stack.redis):
            time.sleep(1)
            ends(api)
        assert stream.wait(5)


@WORKERS
def test_ingest_while_redis_hangs(stack: Stack, workers: int) -> None:
    with stack.service("ingest", "--workers", str(workers)) as ingest:
        assert view(ingest, "hanoi") == 202
        with ThreadPoolExecutor(20) as pool:
            with hanging(stack.redis):
                waiting = [pool.submit(view, ingest, "hanoi") for _ in range(20)]
                time.sleep(0.3)
                ends(ingest)
            assert {answer.result() for answer in waiting} <= {503, 0}
    stack.until_all_is_counted()


def test_counter_while_clickhouse_hangs(stack: Stack, clickhouse: ClickHouseServer) -> None:
    with stack.service("counter") as counter, hanging(clickhouse):
        stack.ask(lambda redis: append(redis, 0, [pageview()]))
        time.sleep(1)
        ends(counter, signal.SIGTERM, signal.SIGINT)
        assert stack.ask(lambda redis: redis.exists("{0}:lease")) == 0  # another counter may have it at once
        assert stack.waiting() == 1
    stack.until_all_is_counted()


def test_counter_while_redis_hangs(stack: Stack) -> None:
    with stack.service("counter") as counter:
        for _ in range(20):
            stack.ask(lambda redis: append(redis, 0, [pageview() for _ in range(500)]))
        with hanging(stack.redis):
            ends(counter)
    stack.until_all_is_counted()


def test_up_with_live_clients_and_one_that_does_not_read(tmp_path: Path) -> None:
    up = Up(tmp_path / "data").start()
    stream = listen(up, "demo")
    with not_reading(up, "/v1/sites/demo/counts.html"):
        ends(up, signal.SIGINT)
    assert stream.wait(5)


def test_up_while_its_redis_hangs(tmp_path: Path) -> None:
    with Up(tmp_path / "data") as up:
        stream = listen(up, "demo")
        assert [view(up, "demo") for _ in range(20)] == [202] * 20
        with ThreadPoolExecutor(20) as pool, hanging(*up.children()):
            waiting = [pool.submit(view, up, "demo") for _ in range(20)]
            time.sleep(0.3)
            ends(up)
            assert {answer.result() for answer in waiting} <= {503, 0}
        assert stream.wait(5)
        up.start()
        up.wait_for("/v1/sites/demo/counts", {"pageviews.total": 20}, seconds=20)
        assert run("verify", "--data", str(up.data)).returncode == 0


def test_a_counter_that_is_still_starting_ends_at_once(stack: Stack, clickhouse: ClickHouseServer) -> None:
    counter = stack.service("counter")
    with hanging(clickhouse):
        counter.launch()
        time.sleep(4)
        counter.send(signal.SIGTERM)
        assert counter.wait(PROMISE) == 128 + signal.SIGTERM
        assert "Traceback" not in counter.output


def test_workers_whose_parent_died_while_they_started_end_as_well(stack: Stack) -> None:
    parent = stack.service("ingest", "--workers", "2").launch()
    until(lambda: len(parent.children()) == 2, "the workers are started")
    workers = parent.children()
    parent.send(signal.SIGKILL)
    parent.wait()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "the workers have ended")


def test_a_process_that_hangs_for_an_unknown_reason_ends_all_the_same() -> None:
    program = "import time; from shared import ending; ending.LAST_SECONDS = 0.1; ending.begin(3); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 3
