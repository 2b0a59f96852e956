"""One service after another against servers of a test's own, and servers that hang."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import shared.redis
from shared.streams import events_key
from tests.support.servers import RedisServer, Server
from tests.support.truycap import Service, run


def configured(sites: Iterable[str], host: str = "*") -> str:
    """A truycap.toml with these sites, each with this host."""
    return "".join(f'[[site]]\nid = "{site}"\nhostnames = ["{host}"]\n' for site in sites)


CONFIG = configured(["hanoi"])


class Stack:
    """A Redis and a store, one site, `hanoi`, or those of `sites`, and the way to start a service against them."""

    def __init__(self, folder: Path, redis: RedisServer, dsn: str, *, sites: str = CONFIG, **environment: str) -> None:
        self.folder = folder
        self.redis = redis
        config = folder / "truycap.toml"
        config.write_text(sites, "utf-8")
        self.environment = {
            "TRUYCAP_REDIS_URL": redis.url,
            "TRUYCAP_CLICKHOUSE_DSN": dsn,
            "TRUYCAP_CONFIG": str(config),
            **environment,
        }

    def service(self, name: str, *options: str) -> Service:
        return Service(self.folder / f"{name}.log", name, *options, **self.environment)

    def migrate(self) -> Self:
        done = run("migrate", environment=self.environment)
        assert done.returncode == 0, done.stderr
        return self

    def waiting(self) -> int:
        """How many entries wait on the stream of shard 0."""
        return int(self.ask(lambda redis: redis.xlen(events_key(0))))

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What a client of Redis answers."""

        async def ask() -> Any:
            redis = shared.redis.client(self.redis.url)
            try:
                return await question(redis)
            finally:
                await redis.aclose()

        # In a thread of its own: the browser's driver keeps an event loop running in the tests' one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(ask())).result()

    def until_all_is_counted(self) -> None:
        """A counter counts what waits, and nothing is missing or twice."""
        with self.service("counter"):
            until(lambda: not self.waiting(), "all is counted")
        self.verify()

    def verify(self) -> None:
        """Nothing is missing or twice."""
        checked = run("verify", environment=self.environment)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@contextmanager
def hanging(*servers: Server | int) -> Iterator[None]:
    """The servers take connections and never answer."""
    pids = [server if isinstance(server, int) else server.pid for server in servers]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends, f"waited in vain until {what}"
        time.sleep(0.1)
