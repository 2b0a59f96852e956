"""A truycap of the load's own, without Docker: Redis, ingest, counter and api as processes of their own on loopback.

Whoever ends is started again after a moment, as compose does: one by a fault of this run, or by `kill -9` of whoever
watches (the process ids are printed).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import gevent

from tests.load.portal import HOST
from tests.load.target import Target, get
from tests.support.servers import RedisServer
from tests.support.stack import Stack, configured
from tests.support.truycap import Service

SITE = "load-test"
_DOWN_SECONDS = 2.0
"""How long whoever ended stays away: a container's start takes that long."""
_LOOK_SECONDS = 0.2


class OwnTruycap:
    """Runs as a context manager; AssertionError or RuntimeError where one of them does not start.

    workers: ingest's processes; streams: live streams that the api has room for.
    """

    def __init__(self, folder: Path, workers: int, streams: int) -> None:
        self._redis = RedisServer(folder / "redis")
        self._folder = folder
        self._workers = workers
        self._streams = streams
        self._services: dict[str, Service] = {}
        self._guards: list[gevent.Greenlet] = []
        self._killed: set[str] = set()
        self.told: Callable[[str, bool], None] = lambda _what, _loss: None
        """What befell a service, and whether it is away from then on."""

    def __enter__(self) -> Self:
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def _start(self) -> Self:
        self._redis.start()
        dsn = f"chdb://{self._folder}/store"
        environment = {
            "TRUYCAP_LIVE_STREAMS": str(self._streams + 100),
            "TMPDIR": str(self._folder),  # what chDB leaves there when it is killed goes with the rest
        }
        stack = Stack(self._folder, self._redis, dsn, sites=configured([SITE], HOST), **environment).migrate()
        more = ("--workers", str(self._workers)) if self._workers > 1 else ()
        for name, options in {"counter": (), "ingest": more, "api": ()}.items():
            self._services[name] = stack.service(name, *options)
            self._services[name].start()
        self._guards = [gevent.spawn(self._guard, name) for name in (*self._services, "redis")]
        return self

    def __exit__(self, *_: object) -> None:
        gevent.killall(self._guards)
        for service in self._services.values():
            try:
                service.stop()
            except Exception:  # of whatever kind: it must not stay
                with suppress(Exception):
                    service.kill()
        self._redis.stop()

    @property
    def target(self) -> Target:
        """Where it is."""
        urls = {name: service.url for name, service in self._services.items()}
        return Target(urls["ingest"], urls["counter"], urls["api"], SITE)

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        return {"redis": self._redis.pid} | {name: service.pid for name, service in self._services.items()}

    def kill(self, name: str) -> None:
        """SIGKILL, of a worker's parent with its workers."""
        self.told(f"{name} is killed (SIGKILL)", True)
        self._killed.add(name)
        if name == "redis":
            self._redis.kill()
        else:
            self._services[name].kill()

    def _guard(self, name: str) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            if (self._redis if name == "redis" else self._services[name]).runs:
                continue
            if name not in self._killed:
                self.told(f"{name} has ended", True)
            self._killed.discard(name)
            began = time.monotonic()
            gevent.sleep(_DOWN_SECONDS)
            if name == "redis":
                self._redis.kill()
                self._redis.start()
            else:
                self._services[name].launch()
                self._until_ready(name)
            self.told(f"{name} is back, after {time.monotonic() - began:.0f} s", False)

    def _until_ready(self, name: str) -> None:
        for _ in range(300):
            with suppress(OSError):
                get(f"{self._services[name].url}/health/ready")
                return
            gevent.sleep(0.1)
