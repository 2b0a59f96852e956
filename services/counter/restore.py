"""`truycap restore`: both stores as a backup has them.

ClickHouse reads the backup into a database beside the present one, while everything goes on. Then counting is paused,
that database takes the other's place, and Redis's keys are put back. From the first change to the last no counter may
have a shard, also where this is cut off in between: then it must be run again.
"""

import asyncio
from collections.abc import Sequence
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
    Report,
    database,
    drop_database,
    none_under_way,
    relations,
)
from services.counter.lease import lease_key, raise_epoch, restoring_key
from services.counter.paused import paused
from services.counter.redis_keys import other_names, put_back
from services.counter.session import HEARTBEAT_SECONDS
from shared.clickhouse import Statements
from shared.delivery import read_delivery
from shared.ending import BATCHES_SECONDS, GIVING_UP_SECONDS
from shared.errors import SetupError
from shared.redis import parse_version
from shared.schema import migrate, newest_version
from shared.streams import EntryId, check_shards

_STEP_ASIDE_SECONDS = HEARTBEAT_SECONDS + BATCHES_SECONDS + GIVING_UP_SECONDS
"""After so long a counter that lost its shard asks the store for nothing more (session.py)."""


class Present(NamedTuple):
    """What the stores hold. rows: of ClickHouse; counted, dead: Redis's events that were counted, dead letters."""

    rows: int
    counted: int
    dead: int

    def __str__(self) -> str:
        return f"{max(self.rows, self.counted):,} counted events and {self.dead:,} dead letters"


class Restored(NamedTuple):
    """What came of it. since: events that were accepted after the backup, and wait behind it."""

    manifest: Manifest
    since: int


class Restorer:
    """Restores one backup into these stores."""

    def __init__(self, redis: "Redis", store: Statements, archive: Archive, shards: int, report: Report) -> None:
        self._redis = redis
        self._store = store
        self._archive = archive
        self._shards = shards
        self._report = report

    async def present(self) -> Present:
        """What would be thrown away; nothing where an earlier restore was cut off."""
        if await self._cut_off():
            return Present(0, 0, 0)
        rows = 0
        if (await self._store.query("EXISTS TABLE events"))[0][0]:
            rows = (await self._store.query("SELECT count() FROM events"))[0][0]
        found = [await read_delivery(self._redis, shard) for shard in range(self._shards)]
        return Present(int(rows), sum(shard.counted for shard in found), sum(shard.dead for shard in found))

    async def restore(self) -> Restored:
        """Let the stores be as the backup says. SetupError, before anything is changed, where they cannot be."""
        await none_under_way(self._store)
        own = await database(self._store)
        side, new, old = f"{own}_backup", f"{own}_restore", f"{own}_replaced"
        for name in (side, new, old):
            await drop_database(self._store, name)
        try:
            manifest = await self._read_manifest(side)
            await self._store.command(f"CREATE DATABASE `{new}`")
            tables = [f"TABLE {NAME}.`{table}` AS `{new}`.`{table}`" for table in manifest.tables]
            await self._archive.read(f"TABLE {NAME}.{REDIS} AS `{side}`.{REDIS}, {', '.join(tables)}")
            since = await self._replace(manifest, own, side, new, old)
            await drop_database(self._store, old)
        finally:
            for name in (side, new):
                await drop_database(self._store, name)
        return Restored(manifest, since)

    async def _read_manifest(self, side: str) -> Manifest:
        await self._store.command(f"CREATE DATABASE `{side}`")
        await self._archive.read(f"TABLE {NAME}.{MANIFEST} AS `{side}`.{MANIFEST}")
        ((text,),) = await self._store.query(f"SELECT manifest FROM `{side}`.{MANIFEST}")  # noqa: S608 - our own names
        said = msgspec.json.decode(text)
        if said["format"] != FORMAT:
            raise SetupError(f"The backup was made by truycap {said['truycap']}, in another format. Use that version.")
        manifest = msgspec.convert(said, Manifest)
        await self._check(manifest)
        await check_shards(self._redis, self._shards)
        return manifest

    async def _check(self, manifest: Manifest) -> None:
        if manifest.schema > newest_version():
            raise SetupError(
                f"The backup has schema {manifest.schema}, made by truycap {manifest.truycap}, which is newer. "
                "Install that version."
            )
        if len(manifest.shards) != self._shards:
            raise SetupError(
                f"The backup holds {len(manifest.shards)} shards, TRUYCAP_SHARDS is {self._shards}. Set it to "
                f"{len(manifest.shards)}: a site's events stay on the shard where they began."
            )
        here = str((await self._redis.info("server"))["redis_version"])
        if parse_version(here)[:2] < parse_version(manifest.redis)[:2]:
            raise SetupError(f"The backup was made with Redis {manifest.redis}, this one is {here}. Install that one.")
        last = max(EntryId.parse(point.last) for point in manifest.shards)
        seconds, _ = await self._redis.time()
        if last.ms > (seconds + 1) * 1000:
            raise SetupError("This Redis's clock is behind the last event of the backup. Set the clock.")

    async def _replace(self, manifest: Manifest, own: str, side: str, new: str, old: str) -> int:
        counting = await self._redis.exists(*(lease_key(shard) for shard in range(self._shards)))
        for shard, point in enumerate(manifest.shards):
            await raise_epoch(self._redis, shard, point.epoch)
        async with paused(self._redis, self._store, self._shards, restoring=True) as pause:
            if counting:
                await asyncio.sleep(_STEP_ASIDE_SECONDS)
            await pause.settle()
            await self._redis.mset({restoring_key(shard): 1 for shard in range(self._shards)})
            await self._swap(own, new, old, manifest.tables)
            await migrate(self._store, self._shards)
            present = await other_names(self._redis, self._shards)
            since = 0
            for shard in range(self._shards):
                await pause.guard()
                self._report("Putting Redis's keys back", shard, self._shards)
                since += await put_back(self._redis, self._store, f"`{side}`.{REDIS}", shard, present[shard])
            # All at once: where only some were gone, those shards would be counted on, and restored once more.
            await self._redis.delete(*(restoring_key(shard) for shard in range(self._shards)))
        return since

    async def _swap(self, own: str, new: str, old: str, tables: Sequence[str]) -> None:
        """Let the tables of `new` take the place of those that are there, and the backup's views that of theirs."""
        present, views = await relations(self._store)
        for view in views:
            await self._store.command(f"DROP VIEW `{view}` SYNC")
        await self._store.command(f"CREATE DATABASE `{old}`")
        moves = [f"`{own}`.`{table}` TO `{old}`.`{table}`" for table in present]
        moves += [f"`{new}`.`{table}` TO `{own}`.`{table}`" for table in tables]
        await self._store.command(f"RENAME TABLE {', '.join(moves)}")
        there = ", ".join(f"{NAME}.`{table}`" for table in [*TABLES, *tables])
        await self._archive.read(f"DATABASE {NAME} AS `{own}` EXCEPT TABLES {there}")

    async def _cut_off(self) -> bool:
        return bool(await self._redis.exists(*(restoring_key(shard) for shard in range(self._shards))))
