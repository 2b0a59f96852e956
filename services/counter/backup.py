"""`truycap backup`: both stores as they were at one moment, in one backup, while everything runs.

Counting is paused while Redis's keys are copied into a table, and ClickHouse's tables are cloned (hard links) beside
it; then ClickHouse writes the clones at its leisure. What was inserted by then and not yet applied is as after the
death of a counter: pending, and looked up by whoever takes it over.
"""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from services.counter.archive import (
    FORMAT,
    MANIFEST,
    NAME,
    REDIS,
    TABLES,
    Archive,
    Manifest,
    Point,
    database,
    drop_database,
    none_under_way,
    relations,
)
from services.counter.paused import paused
from services.counter.redis_keys import Key, read_delivered, read_others, write_keys
from shared.clickhouse import Statements
from shared.schema import schema_version

_SUFFIX = "_backup"


class BackedUp(NamedTuple):
    """What came of it. paused_seconds: how long nothing was counted; left: an earlier run had left its clones."""

    manifest: Manifest
    paused_seconds: float
    left: bool


async def backup(redis: "Redis", store: Statements, archive: Archive, shards: int, now_ms: int) -> BackedUp:
    """Write a backup. now_ms: when, in ms since 1970 UTC. FencedError where a shard was taken from us."""
    await none_under_way(store)
    own = await database(store)
    side = f"{own}{_SUFFIX}"
    left = await drop_database(store, side)
    await store.command(f"CREATE DATABASE `{side}`")
    try:
        for table, structure in TABLES.items():
            await store.command(f"CREATE TABLE `{side}`.{table} {structure}")
        since = time.monotonic()
        async with paused(redis, store, shards) as pause:
            points = await _copy_redis(redis, store, side, shards)
            await pause.settle()
            tables = await _clone(store, side)
            await pause.guard()
        seconds = time.monotonic() - since
        manifest = Manifest(
            format=FORMAT,
            truycap=version("truycap"),
            schema=await schema_version(store),
            redis=str((await redis.info("server"))["redis_version"]),
            made_at=datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="seconds"),
            tables=tables,
            shards=points,
        )
        text = msgspec.json.encode(manifest).decode()
        await store.insert(f"`{side}`.{MANIFEST}", {"manifest": [text]}, {"async_insert": 0})
        clones = [f"TABLE `{side}`.`{table}` AS {NAME}.`{table}`" for table in [*TABLES, *tables]]
        cloned = ", ".join(f"`{own}`.`{table}`" for table in tables)
        # What is left of the database are the views.
        await archive.write(f"{', '.join(clones)}, DATABASE `{own}` AS {NAME} EXCEPT TABLES {cloned}")
    finally:
        await drop_database(store, side)
    return BackedUp(manifest, seconds, left)


async def _copy_redis(redis: "Redis", store: Statements, side: str, shards: int) -> list[Point]:
    """Copy the keys of all shards; nobody counts meanwhile. The moment of each shard that they are of."""
    delivered = [await read_delivered(redis, shard) for shard in range(shards)]

    async def keys() -> AsyncIterator[Key]:
        for _, some in delivered:
            for key in some:
                yield key
        async for key in read_others(redis, shards):
            yield key

    await write_keys(store, f"`{side}`.{REDIS}", keys())
    return [point for point, _ in delivered]


async def _clone(store: Statements, side: str) -> list[str]:
    """Clone all tables, and say which."""
    tables, _ = await relations(store)
    for table in tables:
        await store.command(f"CREATE TABLE `{side}`.`{table}` CLONE AS `{table}`")
    return tables
