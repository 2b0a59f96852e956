"""A truycap service as a process of its own, started again whenever it ends, as a service manager would."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from shared.errors import SetupError
from tests.support.servers import free_port
from tests.support.truycap import ROOT

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
"""How long a service may take to stop: its own promise."""
_AGAIN_SECONDS = 0.2


_LACKING = (
    "No Redis answers",
    "Cannot listen on",
    "is in use by",
    "No space left on device",
    "chDB cannot open",
    "a full disk can do that",
    "ClickHouse does not answer",
    "No ClickHouse answers",
)
"""What a service may say that ends because something it needs to start is not there."""
_ORPHANS_SECONDS = 2.5
"""Workers of a parent that was killed answer for so long, at most."""


class End(NamedTuple):
    """How a process ended: its exit code, negative for a signal, and its last words."""

    name: str
    code: int
    said: str = ""


class Service:
    """`truycap <command>` on a loopback port. odd: how its processes ended, where nobody had asked for it."""

    def __init__(
        self, name: str, command: str, environment: Mapping[str, str], folder: Path, odd: list[End], *options: str
    ) -> None:
        self.name = name
        self.port = free_port()
        self.started_at = 0.0
        self.starts = 0
        self.refusals = 0
        """How often it ended because something it needs to start was not there; it is tried again."""
        self._arguments = [command, "--port", str(self.port), *options]
        self._environment = environment
        self.log = folder / f"{name}.log"
        self._odd = odd
        self._process: asyncio.subprocess.Process | None = None
        self._log_began = 0
        self._wanted = False
        self._asked = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id, None where it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def start(self) -> None:
        """Have it run from now on."""
        self._wanted = True
        self._keeper = asyncio.create_task(self._keep())

    async def ready(self, seconds: float = READY_SECONDS) -> None:
        """Returns once it says that it is ready. AssertionError where it does not."""
        ends = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self.url, timeout=2.0, trust_env=False) as client:
            while True:
                with suppress(httpx.HTTPError):
                    if (await client.get("/health/ready")).status_code == 200:
                        return
                assert time.monotonic() < ends, f"{self.name} is not ready after {seconds} s; its log is {self.log}"
                await asyncio.sleep(0.05)

    def kill(self) -> bool:
        """SIGKILL; whether it ran."""
        return self.signal(signal.SIGKILL)

    def signal(self, number: int) -> bool:
        if self.pid is None:
            return False
        with suppress(ProcessLookupError):  # it has just ended, which nobody has heard yet
            os.kill(self.pid, number)
            return True
        return False

    def children(self) -> list[int]:
        """The ids of its processes' children: the workers."""
        if self.pid is None:
            return []
        try:
            return [int(n) for n in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("utf-8").split()]
        except FileNotFoundError:
            return []

    async def restart(self) -> None:
        """SIGTERM once it is ready; it must end with 0 in time. The keeper starts it again."""
        await self.ready()
        await self._end()

    async def stop(self) -> None:
        """SIGTERM for good, once it is ready."""
        await self.ready()
        self._wanted = False
        await self._end()
        if self._keeper:
            await self._keeper

    async def abandon(self) -> None:
        """SIGKILL for good."""
        self._wanted = False
        while self._keeper and not self._keeper.done():
            self.kill()
            await asyncio.wait({self._keeper}, timeout=_AGAIN_SECONDS)

    async def _end(self) -> None:
        # Else another process may have answered that this one is ready, which is still starting.
        await asyncio.sleep(max(0.0, self.started_at + _ORPHANS_SECONDS - time.monotonic()))
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._asked = True
        started = time.monotonic()
        process.terminate()
        try:
            code = await asyncio.wait_for(process.wait(), STOP_SECONDS + 2)
        except TimeoutError:
            self._odd.append(End(f"{self.name}, still there {STOP_SECONDS + 2:.0f} s after SIGTERM", 0))
            process.kill()
            return
        if code != 0 or time.monotonic() - started > STOP_SECONDS:
            self._odd.append(End(f"{self.name}, {time.monotonic() - started:.1f} s after SIGTERM", code))

    async def _keep(self) -> None:
        with self.log.open("ab") as log:
            while self._wanted:
                self._log_began = log.tell()
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "tests.chaos.process",
                    *self._arguments,
                    cwd=ROOT,
                    env={**os.environ, **self._environment},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self.started_at = time.monotonic()
                self.starts += 1
                code = await self._process.wait()
                if code == SetupError.exit_code and any(lacking in self._last_words() for lacking in _LACKING):
                    self.refusals += 1
                elif code != -signal.SIGKILL and not self._asked:  # what was asked for is looked at by who asked
                    self._odd.append(End(self.name, code, self._last_words()))
                self._asked = False
                if code > 0:
                    await asyncio.sleep(_AGAIN_SECONDS)

    def _last_words(self) -> str:
        """The line with which it ended, wherever its workers wrote theirs; else whatever it wrote last."""
        lines = self.log.read_bytes()[self._log_began :].decode("utf-8", "replace").splitlines() or [""]
        return next((line for line in reversed(lines) if line.startswith("truycap: ")), lines[-1])

    def odd_workers(self) -> list[End]:
        """How its workers ended, where it was not by SIGKILL: their parent says so in its log and starts others."""
        ended = re.findall(r'"exit_code": (-?\d+), "event": "a worker ended', self.log.read_text("utf-8", "replace"))
        return [End(f"a worker of {self.name}", int(code)) for code in ended if int(code) != -signal.SIGKILL]
