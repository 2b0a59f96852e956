"""The end of a process: its parts fit into the promise, and none of them can hold up the others."""

import asyncio
import time

import pytest

from shared import ending


async def test_what_hangs_is_given_up_and_what_fails_keeps_nobody_waiting() -> None:
    done: list[str] = []

    async def fails() -> None:
        raise RuntimeError("no")

    async def ends() -> None:
        await asyncio.sleep(0.01)
        done.append("ended")

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("cleaned up")

    started = time.monotonic()
    await ending.within(0.1, hangs(), fails(), ends())
    assert sorted(done) == ["cleaned up", "ended"]
    assert time.monotonic() - started < 5


async def test_a_cancellation_that_gets_lost_is_repeated_and_one_that_is_ignored_given_up() -> None:
    async def deaf(times: int) -> None:
        for _ in range(times):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    once, for_ever = asyncio.create_task(deaf(2)), asyncio.create_task(deaf(1000))
    await asyncio.sleep(0)
    await ending.cancelled(once, for_ever, seconds=0.6)
    assert once.done()
    assert not for_ever.done()
    await ending.within(0.01)
    while not for_ever.done():
        for_ever.cancel()
        await asyncio.sleep(0)


async def test_what_ended_a_task_is_raised_and_one_that_ended_in_good_order_is_none() -> None:
    mistake = asyncio.Event()

    async def fails() -> None:
        await mistake.wait()
        raise ZeroDivisionError

    tasks = [asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(fails())]
    watching = asyncio.create_task(ending.failed(tasks))
    done, _ = await asyncio.wait([watching], timeout=0.1)
    assert not done
    mistake.set()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(watching, 5)


def test_the_parts_together_are_shorter_than_the_last_resort() -> None:
    parts = (
        ending.REQUESTS_SECONDS
        + ending.BATCHES_SECONDS
        + 2 * ending.CLOSING_SECONDS
        + ending.CHILD_SECONDS
        + 2 * ending.GIVING_UP_SECONDS
    )
    assert parts <= ending.LAST_SECONDS
    assert ending.LAST_SECONDS < 10
