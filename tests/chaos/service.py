"""A truycap service as a process of its own, started again whenever it ends, as a service manager would."""

import asyncio
import os
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


class End(NamedTuple):
    """How a process ended: its exit code, negative for a signal."""

    name: str
    code: int


class Service:
    """`truycap <command>` on a loopback port. odd: how its processes ended, where nobody had asked for it."""

    def __init__(
        self, name: str, command: str, environment: Mapping[str, str], log: Path, odd: list[End], *options: str
    ) -> None:
        self.name = name
        self.port = free_port()
        self.started_at = 0.0
        self.starts = 0
        self.refusals = 0
        """How often it ended because something it needs was not there."""
        self._arguments = [command, "--port", str(self.port), *options]
        self._environment = environment
        self._log = log
        self._odd = odd
        self._process: asyncio.subprocess.Process | None = None
        # 2: it said that something it needs to start was down, or its port taken by orphans; it is tried again.
        self._expected = {-signal.SIGKILL, SetupError.exit_code}
        self._wanted = False
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
                assert time.monotonic() < ends, f"{self.name} is not ready after {seconds} s; its log is {self._log}"
                await asyncio.sleep(0.05)

    def kill(self) -> bool:
        """SIGKILL; whether it ran."""
        return self.signal(signal.SIGKILL)

    def signal(self, number: int) -> bool:
        if self.pid is None:
            return False
        os.kill(self.pid, number)
        return True

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
        process = self._process
        if process is None or process.returncode is not None:
            return
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
        with self._log.open("ab") as log:
            while self._wanted:
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
                if code not in self._expected | {0}:  # 0: asked for, and looked at by who asked
                    self._odd.append(End(self.name, code))
                self.refusals += code == SetupError.exit_code
                if code > 0:
                    await asyncio.sleep(_AGAIN_SECONDS)
