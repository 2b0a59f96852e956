"""Real servers for integration tests. They start once in a session, and only where a test asks for them."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import chdb
import httpx
import pytest
from redis.asyncio import Redis

import shared.redis
from services.counter import session
from services.ingest import publish
from shared import schema
from shared.clickhouse import ClickHouse
from tests.support.ingest import Gate, ingest_client
from tests.support.servers import ClickHouseServer, RedisServer


@pytest.fixture(autouse=True)
def few_events_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches of these tests have few events each, and most tests wait for several of them."""
    monkeypatch.setattr(session, "FEW_SPACING_SECONDS", session.SPACING_SECONDS)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = shared.redis.client(redis_server.url)
    try:
        await client.flushall()
        yield client
    finally:
        await client.aclose()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def chdb_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one folder that chDB may have open in this process; the engine stays open between the tests."""
    folder = tmp_path_factory.mktemp("chdb").resolve()
    # The first connection's options are the engine's; these are those of shared/clickhouse.py.
    with closing(chdb.connect(f"{folder}?backups.allowed_path=/")):  # type: ignore[no-untyped-call]
        yield folder


@pytest.fixture
def database() -> str:
    """The name of a database of the test's own."""
    return f"test_{uuid.uuid4().hex}"


@pytest.fixture(params=["chdb", "http"])
def dsn(request: pytest.FixtureRequest, database: str) -> str:
    """The DSN of that database, on each of the two backends in turn."""
    if request.param == "chdb":
        return f"chdb://{request.getfixturevalue('chdb_folder')}?database={database}"
    server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
    return server.dsn + database


@pytest.fixture
async def store(dsn: str, database: str) -> AsyncIterator[ClickHouse]:
    """An open store whose database is empty."""
    opened = await ClickHouse.connect(dsn)
    try:
        yield opened
        await opened.command(f"DROP DATABASE IF EXISTS `{database}`")
    finally:
        await opened.close()


@pytest.fixture
async def migrated(store: ClickHouse) -> ClickHouse:
    """An open store with the schema and one shard."""
    await schema.migrate(store, shards=1)
    return store


@pytest.fixture
async def client(redis: Redis, redis_server: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running ingest."""
    async with ingest_client(redis_server.url) as client:
        yield client


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Where group commits wait before Redis is asked."""
    gate = Gate()
    monkeypatch.setattr(publish, "append_packed", gate.append)
    return gate
