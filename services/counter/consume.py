"""The way of a batch: sort out, read the state, look up what was resent, enrich; wait for its turn; write, apply.

All up to its turn is only computed, and may be while the batch before it is written and applied.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from services.counter.apply import apply
from services.counter.batch import Batch
from services.counter.ceiling import LETTER, level_change
from services.counter.changes import changes
from services.counter.enrich import enrich
from services.counter.ensure import ensure_written
from services.counter.expired import Expired
from services.counter.left_out import left_out
from services.counter.outcome import Computed, Outcome
from services.counter.resent import RecentIds, find_stored, positions_among
from services.counter.sort_out import UNKNOWN_SITE, sort_out
from services.counter.state import read_state
from services.counter.store import Guard, PatientStore
from services.counter.write import write_once
from shared import log, metrics, tracing
from shared.errors import TruycapError, described
from shared.sites import Sites

Turn = Callable[[], Awaitable[None]]
"""Returns when a batch's turn has come, and raises where it never will: the batch before it has failed."""

_BREATH_SECONDS = 0.001

logger = log.get(__name__)


async def at_once() -> None:
    """The turn of a batch that comes alone."""


class BatchCounter:
    """Counts a shard's batches under one epoch.

    ceiling: of dead letters; recent: what was counted lately; expired: the months that have left by age; guard: asked
    before each insert.
    """

    def __init__(
        self,
        redis: "Redis",
        store: PatientStore,
        sites: Sites,
        *,
        ceiling: int,
        epoch: int,
        recent: RecentIds,
        expired: Expired,
        guard: Guard,
    ) -> None:
        self._redis = redis
        self._store = store
        self._sites = sites
        self._ceiling = ceiling
        self._epoch = epoch
        self._recent = recent
        self._expired = expired
        self._guard = guard
        self._redis_free = asyncio.Lock()
        """Redis sends a long answer in pieces, and between them it may begin a script that takes long. So what the next
        batch reads must have come before this one is applied."""
        self._before: Computed | None = None
        """The last batch, as long as it may not be applied."""
        self.counted = 0
        """How many batches this has counted."""

    async def count(self, batch: Batch, turn: Turn = at_once) -> None:
        """Count the batch; returns when it is applied, by this call or before it.

        turn: comes when all batches that were begun earlier are applied; the next one is begun no earlier than that.
        After an error nothing more can be counted here.

        FencedError or RedisError where it is left pending; StoreError where no repetition would help;
        DeadLetterCeilingError where too much of it cannot be counted.
        """
        with (
            log.about(shard=batch.shard, batch=batch.token),
            tracing.process(batch.shard, batch.token, batch.entries, events=batch.size, recovered=batch.recovered),
        ):
            try:
                await self._count(batch, turn)
            except TruycapError:
                raise  # it ends the process, whose last line it is
            except Exception as error:  # said here, within the trace; what follows from it, by whoever catches it
                logger.warning("a batch is not counted", error=described(error))
                raise

    async def _count(self, batch: Batch, turn: Turn) -> None:
        before = self._before
        computed = self._before = await self._compute(batch, before)
        outcome = computed.outcome
        await _breathe(before)
        commands = list(changes(computed))
        await turn()
        if batch.recovered or not await write_once(self._store, batch.token, outcome.stored, self._guard):
            await ensure_written(self._store, batch, outcome, self._guard)
            commands = list(changes(computed))  # what stands there may be other rows
            self._recent.add(outcome.stored)
        async with self._redis_free:
            applied = await apply(self._redis, batch, self._epoch, commands)
        if applied:
            _measure(computed)
            for line in left_out(batch, outcome):
                logger.log(line.level, line.what, **line.fields)
        if self._before is computed:
            self._before = None
        self.counted += 1

    async def _compute(self, batch: Batch, before: Computed | None) -> Computed:
        outcome = Outcome()
        arrivals = sort_out(batch, self._sites, self._expired, outcome)
        if any(letter.reason == UNKNOWN_SITE for letter in outcome.dead):
            await self._sites.look()  # ingest may have seen a new site a moment before
            outcome = Outcome()
            arrivals = sort_out(batch, self._sites, self._expired, outcome)
        async with self._redis_free:
            state = await read_state(self._redis, batch.shard, self._epoch, arrivals, before)
        stored = positions_among(before.outcome.stored, arrivals.again) if before else {}
        stored |= await find_stored(self._store, batch.shard, arrivals.again)
        await _breathe(before)
        self._recent.begin(batch, stored)
        enrich(batch.shard, arrivals, state, self._recent, outcome)
        outcome.level_change = level_change(batch.shard, state.dead_level, outcome, batch.replayed, self._ceiling)
        return Computed(batch, state, outcome)


async def _breathe(before: Computed | None) -> None:
    """Let the batch before go on: what is computed keeps the event loop, in which its steps follow each other."""
    if before:
        await asyncio.sleep(_BREATH_SECONDS)


def _measure(computed: Computed) -> None:
    batch, state, outcome = computed
    shard = str(batch.shard)
    metrics.BATCH_EVENTS.labels(shard).observe(batch.size)
    metrics.COUNTED.labels(shard).inc(outcome.counted)
    for _, reason in outcome.rejected:
        metrics.REJECTED.labels(shard, reason).inc()
    for letter in outcome.dead:
        metrics.DEAD.labels(shard, letter.reason).inc(letter.content.n)
    metrics.DEAD_LEVEL.labels(shard).set((state.dead_level + outcome.level_change) / LETTER)
    metrics.VISIBLE_SECONDS.labels(shard).observe(max(0.0, time.time() - batch.entries[0].id.ms / 1000))
