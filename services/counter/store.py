"""The store as the counter sees it: outages are waited for, for they are no fault of any event."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import stamina

from shared import log, metrics, tracing
from shared.clickhouse import ClickHouse, Row
from shared.errors import StoreError

Guard = Callable[[], Awaitable[None]]
"""Raises FencedError where the shard has passed to another counter."""

logger = log.get(__name__)


class PatientStore:
    """Repeats a statement until the store has done it. Errors that no repetition mends are raised as they are."""

    def __init__(self, store: ClickHouse, shard: int) -> None:
        self._store = store
        self._shard = shard
        self._insert_seconds = metrics.INSERT_SECONDS.labels(str(shard))
        self._retries = metrics.RETRIES.labels(str(shard))

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        async for attempt in self._attempts():
            with attempt:
                return await self._store.query(sql, parameters)
        raise AssertionError("attempts never end")

    async def command_once(self, sql: str, parameters: Mapping[str, Any]) -> bool:
        """One attempt alone; False where the store failed and it is not known how much it has done."""
        return await self._once(self._store.command(sql, parameters))

    async def insert_once(
        self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any], guard: Guard
    ) -> bool:
        """The same for an insert, which guard is asked before."""
        await guard()
        return await self._once(self._insert(table, columns, settings))

    async def insert(
        self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any], guard: Guard
    ) -> None:
        """guard is asked before every attempt: after a long outage the shard may be somebody else's."""
        async for attempt in self._attempts():
            with attempt:
                await guard()
                await self._insert(table, columns, settings)

    async def _insert(self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> None:
        rows = len(next(iter(columns.values())))
        with self._insert_seconds.time(), tracing.insert(table, rows):
            await self._store.insert(table, columns, settings)

    async def _once(self, statement: Awaitable[None]) -> bool:
        try:
            await statement
        except StoreError as error:
            if not self._may_pass(error):
                raise
            return False
        return True

    def _attempts(self) -> AsyncIterator[stamina.Attempt]:
        return stamina.retry_context(on=self._may_pass, attempts=None, timeout=None, wait_initial=0.1, wait_max=2.0)

    def _may_pass(self, error: Exception) -> bool:
        if not (isinstance(error, StoreError) and error.retry):
            return False
        self._retries.inc()
        logger.warning("the store failed and is tried again", shard=self._shard, error=error.message)
        return True
