"""Redis and the store as a command reaches them: through a running `truycap up`, on its folder, or on servers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.counter.app import Counter
from services.embedded.folder import Folder
from services.embedded.redis_child import RedisChild, find_binary
from services.embedded.store_socket import RemoteStore
from shared import redis as shared_redis
from shared.clickhouse import ClickHouse, Statements
from shared.errors import SetupError, redacted
from shared.schema import migrate
from shared.settings import Settings, is_given, load_settings
from shared.sites import Site, Sites
from shared.watch import WatchedSites

DEMO = Site(id="demo", hostnames=["*"])
DEFAULT_DATA = Path("data")
DEFAULT_CONFIG = Path("truycap.toml")


@dataclass(frozen=True)
class Stores:
    """What a command works on. settings: their redis_url and clickhouse_dsn are those of the open stores."""

    settings: Settings
    sites: Sites
    redis: "Redis"
    store: Statements
    counter: Counter | None = None

    @property
    def embedded(self) -> bool:
        """Whether the store is a folder of this machine (chDB), rather than a server."""
        return self.settings.clickhouse_dsn.startswith("chdb:")

    async def unless_counting_fails(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work that waits for events to be counted; what ends the counting in this process ends it too."""
        tasks = [asyncio.create_task(work)]
        if self.counter:
            tasks.append(asyncio.create_task(self.counter.failed()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()


def embedded_settings(folder: Folder, config: Path | None) -> Settings:
    """The settings of `truycap up` on a folder."""
    return load_settings(
        redis_url=folder.redis_url,
        clickhouse_dsn=folder.clickhouse_dsn,
        redis_password=None,
        clickhouse_password=None,
        **({} if config is None else {"config": config}),
    )


def embedded_sites(settings: Settings) -> WatchedSites:
    """The demo's site and the configured ones; the default configuration file may be missing."""
    return WatchedSites(settings.config, settings.shards, beside=[DEMO], optional=settings.config == DEFAULT_CONFIG)


def names_servers() -> bool:
    """Whether the environment names servers to work on."""
    return is_given("redis_url") or is_given("clickhouse_dsn")


@asynccontextmanager
async def open_stores(
    data: Path | None, config: Path | None, *, count: bool = False, create: bool = False
) -> AsyncIterator[Stores]:
    """Open what a command works on: `data`, else the environment's servers, else the default folder.

    count: the command needs events to be counted; where nothing runs on the folder, a counter runs meanwhile.
    create: the folder may be a new one, and the store stays as it is: whatever schema it has, or none.
    """
    if data is None and names_servers():
        async with _servers(config) as stores:
            yield stores
        return
    folder = Folder(data or DEFAULT_DATA)
    if not (create or folder.clickhouse.is_dir()):
        raise SetupError(f"{folder.path} is no data folder of truycap. Name one with --data, or run `truycap up`.")
    settings = embedded_settings(folder, config)
    if folder.in_use():
        store = await RemoteStore.connect(folder.store_socket)
        try:
            async with _client(settings) as redis:
                yield Stores(settings, embedded_sites(settings), redis, store)
        finally:
            await store.close()
        return
    async with _own(folder, settings, count=count, create=create) as stores:
        yield stores


@asynccontextmanager
async def _servers(config: Path | None) -> AsyncIterator[Stores]:
    settings = load_settings(**({} if config is None else {"config": config}))
    store = await ClickHouse.connect(settings.clickhouse_dsn)
    try:
        async with _client(settings) as redis:
            yield Stores(settings, settings.sites(), redis, store)
    finally:
        await store.close()


@asynccontextmanager
async def _own(folder: Folder, settings: Settings, *, count: bool, create: bool) -> AsyncIterator[Stores]:
    """The folder's stores in this process, as nobody else has them."""
    folder.create()
    with folder.locked():
        child = RedisChild(folder, find_binary(folder))
        await child.start()
        try:
            store = await ClickHouse.connect(settings.clickhouse_dsn)
            if not create:
                await migrate(store, settings.shards)
            sites = embedded_sites(settings)
            counter = Counter(settings, sites, alone=True)
            try:
                if count:
                    await counter.start()
                async with _client(settings) as redis:
                    yield Stores(settings, sites, redis, store, counter if count else None)
            finally:
                await counter.stop()
                await store.close()
        finally:
            await child.stop()


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator["Redis"]:
    redis = shared_redis.client(settings.redis_url, timeout=60.0)
    try:
        await shared_redis.check_server(redis, settings.redis_url)
        yield redis
    except shared_redis.OUTAGES as error:
        raise SetupError(
            f"The Redis at {redacted(settings.redis_url)} failed meanwhile ({error}). Once that is mended, run "
            "the same command again."
        ) from None
    finally:
        await redis.aclose()
