"""Backup under load, wipe, restore: nothing that was acknowledged before it is missing, and verify exits 0."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

from services.embedded.folder import Folder
from services.embedded.store_socket import RemoteStore
from shared.clickhouse import ClickHouse, Queries
from tests.support.load import Load
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.stack import Stack, until
from tests.support.truycap import Up, run

SECONDS = 1.0
"""How long there is load before and after."""
NO_LIMIT = {"TRUYCAP_RATE_LIMIT": "0"}


async def stored(store: Queries) -> Counter[str]:
    return Counter(name for (name,) in await store.query("SELECT toString(id) FROM events"))


def stored_in(folder: Path) -> Counter[str]:
    """How often each id stands in the store of a running `truycap up`."""

    async def ask() -> Counter[str]:
        store = await RemoteStore.connect(Folder(folder).store_socket)
        try:
            return await stored(store)
        finally:
            await store.close()

    return asyncio.run(ask())


def stored_at(dsn: str) -> Counter[str]:
    async def ask() -> Counter[str]:
        store = await ClickHouse.connect(dsn)
        try:
            return await stored(store)
        finally:
            await store.close()

    return asyncio.run(ask())


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints that succeeds."""
    done = run(*arguments, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def acknowledged_before_a_backup(
    url: str, site: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Load before, while and after a backup is made; what was acknowledged when it began."""
    with Load(url, site) as load:
        time.sleep(SECONDS)
        before = load.acknowledged
        assert before
        command("backup", *arguments, environment=environment)
        time.sleep(SECONDS)
        assert load.acknowledged > before
    return before


def test_up_is_backed_up_under_load_and_restored_into_a_new_folder(tmp_path: Path) -> None:
    place, data = str(tmp_path / "backup"), str(tmp_path / "data")
    with Up(tmp_path / "data", **NO_LIMIT) as up:
        before = acknowledged_before_a_backup(up.url, "demo", place, "--data", data)
    rmtree(data)
    command("restore", place, "--data", data)
    with Up(tmp_path / "data", **NO_LIMIT) as up:
        until(lambda: stored_in(up.data).keys() >= before, "all is counted that was accepted before the backup")
        with Load(up.url, "demo") as load:  # and once more, while it runs
            time.sleep(SECONDS)
            refused = run("restore", place, "--data", data)
            assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
            assert "--replace" in refused.stderr
            command("restore", place, "--data", data, "--replace")
            known = load.acknowledged
            until(lambda: load.acknowledged > known, "events are accepted")
        until(lambda: stored_in(up.data).keys() >= before | (load.acknowledged - known), "all is counted")
        assert max(stored_in(up.data).values()) == 1
        command("verify", "--data", data)


def test_services_of_their_own_are_backed_up_under_load_and_restored_into_new_servers(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        dsn = clickhouse.dsn + "truycap"
        stack = Stack(tmp_path, redis, dsn, TRUYCAP_SHARDS="2", **NO_LIMIT).migrate()
        with stack.service("counter"), stack.service("ingest", "--workers", "2") as ingest:
            before = acknowledged_before_a_backup(ingest.url, "hanoi", "monday", environment=stack.environment)
        for server, data in ((redis, redis.folder / "appendonlydir"), (clickhouse, clickhouse.folder / "data")):
            server.kill()
            rmtree(data)
            server.start()
        command("restore", "monday", environment=stack.environment)
        with stack.service("counter"):
            until(lambda: stored_at(dsn).keys() >= before, "all is counted that was accepted before the backup")
        assert max(stored_at(dsn).values()) == 1
        stack.verify()
