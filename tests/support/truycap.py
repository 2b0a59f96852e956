"""`truycap` as a user runs it: a process of its own, talked to over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.servers import free_port

START_SECONDS = 30.0
STOP_SECONDS = 15.0
COMMAND = [sys.executable, "-m", "services.cli"]
ROOT = Path(__file__).parents[2]


def run(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Service:
    """A command that serves until it is stopped; as a context manager it runs meanwhile. Its output goes to `log`."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self.log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments: Sequence[str] = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self.log.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> Self:
        """Start it and return at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *self._arguments, "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for who started it, who ends it
            )
        return self

    def start(self) -> Self:
        """Start it and return when it is ready."""
        self.launch()
        assert self._process
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._process.poll() is None:
            try:
                if self.get("/health/ready")["status"] == "ok":
                    return self
            except OSError:
                time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"truycap {self._arguments[0]} did not become ready:\n{self.output}")

    def send(self, number: int) -> None:
        """A signal to it."""
        assert self._process
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit code, once it has ended."""
        assert self._process
        return self._process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it as Ctrl-C or a service manager would; its exit code."""
        assert self._process
        if self._process.poll() is None:
            self.send(number)
        return self.wait()

    def children(self) -> list[int]:
        """The process ids of its children."""
        assert self._process
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("utf-8")
        return [int(child) for child in found.split()]

    def kill(self) -> None:
        """kill -9 of it and of its children."""
        assert self._process
        children = self.children()
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        for child in children:
            os.kill(child, signal.SIGKILL)

    def get(self, path: str, **headers: str) -> Any:
        """The JSON at a path."""
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def fetch(self, path: str, **headers: str) -> int:
        """The status at a path; headers with _ for -."""
        request = urllib.request.Request(
            self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
            return int(answer.status)

    def wait_for(self, path: str, wanted: dict[str, Any], seconds: float) -> Any:
        """The JSON at a path once it holds what is wanted, given by dotted names; fails after some seconds."""
        ends = time.monotonic() + seconds
        while True:
            answer = self.get(path)
            found = {name: _at(answer, name) for name in wanted}
            if found == wanted:
                return answer
            assert time.monotonic() < ends, f"{path} says {found}, not {wanted}, after {seconds} s"
            time.sleep(0.05)


class Up(Service):
    """`truycap up` on a data folder, with its Redis as a child."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        super().__init__(data.parent / f"{data.name}.log", "up", "--data", str(data), *options, **environment)
        self.data = data


def _at(value: Any, name: str) -> Any:
    for part in name.split("."):
        value = value[part]
    return value
