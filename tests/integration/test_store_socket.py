"""The store of a running `truycap up` through its socket, with the real ClickHouse engine."""

import asyncio
from pathlib import Path

import pytest

from services.embedded.store_socket import RemoteStore, open_store_socket
from shared.clickhouse import ClickHouse
from shared.errors import StoreError


async def test_the_answer_of_a_statement_that_was_cut_off_is_no_other_statements(
    store: ClickHouse, tmp_path: Path
) -> None:
    async with open_store_socket(store, tmp_path / "socket"):
        remote = await RemoteStore.connect(tmp_path / "socket")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await remote.query("SELECT sleep(1), 'late'")
        assert await remote.query("SELECT 1") == [[1]]
        with pytest.raises(StoreError, match="nowhere"):
            await remote.query("SELECT * FROM nowhere")
        assert await remote.query("SELECT 2") == [[2]]
        await remote.close()
