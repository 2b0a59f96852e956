"""Group commit: all events that arrive while a commit is under way share the next one.

With Redis at `appendfsync always` an XADD that returned is on disk; sharing it is what makes that affordable. An event
that comes alone does not wait: there is no linger, only the XADD before it.
"""

import asyncio
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis

from services.ingest.errors import UnavailableError
from shared import log, metrics, tracing
from shared.errors import described
from shared.streams import Packed, append_packed

COMMIT_SECONDS = 0.8
"""How long an XADD may take before everybody who waits is told to send again."""
LEAST_SECONDS = 0.2
"""How long it may take at least, for those who waited for the one before: nobody waits for more than both together."""
MAX_COMMIT_EVENTS = 5000
"""Events in one commit, about a megabyte; an XADD, or several of them in one transaction, which the disk syncs once."""
MAX_WAITING = 20_000
"""How many events may wait in memory, per shard."""

logger = log.get(__name__)


Done = Callable[[UnavailableError | None], None]
"""Called once: with None when the events are on disk, else with why that is not known."""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """Events of one request.

    since: when they came, by the loop's clock; done: the request's; span: the request's, where it is sampled.
    """

    events: Packed
    since: float
    done: Done
    span: tracing.SpanContext | None


class Publisher:
    """The way onto one shard's stream."""

    def __init__(self, redis: "Redis", shard: int) -> None:
        self._redis = redis
        self._shard = shard
        self._waiting: list[Waiting] = []
        self._events_waiting = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._accepted = metrics.ACCEPTED.labels(str(shard))
        self._sizes = metrics.GROUP_EVENTS.labels(str(shard))
        self._seconds = metrics.GROUP_SECONDS.labels(str(shard))
        self.task = self._loop.create_task(self._run(), name=f"publish-{shard}")
        """Runs until `stop`."""

    def publish(self, events: Packed, done: Done) -> None:
        """Put events on the stream with the next commit.

        After an error the events may or may not be on the stream: whoever sends them again keeps their ids and counts
        up `attempt`.
        """
        if self._events_waiting + events.n > MAX_WAITING:
            done(UnavailableError("Too many events are waiting for Redis; send again later."))
            return
        if not self._waiting:
            self._wake.set()
        self._waiting.append(Waiting(events, self._loop.time(), done, tracing.current()))
        self._events_waiting += events.n

    @property
    def events_waiting(self) -> int:
        """How many events are in memory: those of the XADD under way, and those behind it."""
        return self._events_waiting

    async def stop(self) -> None:
        """Finish what waits, then end."""
        self._stopping = True
        self._wake.set()
        await self.task
        await self._commit_all()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await self._commit_all()

    async def _commit_all(self) -> None:
        while self._waiting:
            self._give_up_late_ones()
            if group := self._take():
                await self._commit(group)

    def _give_up_late_ones(self) -> None:
        """Who has waited that long behind slow commits is told so, rather than made to wait for another."""
        late = self._loop.time() - COMMIT_SECONDS
        given_up = [waiting for waiting in self._waiting if waiting.since < late]
        if given_up:
            self._waiting = [waiting for waiting in self._waiting if waiting.since >= late]
            self._settle(given_up, "Redis is too slow now; send the event again.")

    def _take(self) -> list[Waiting]:
        size = count = 0
        for waiting in self._waiting:
            size += waiting.events.n
            if count and size > MAX_COMMIT_EVENTS:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _commit(self, group: list[Waiting]) -> None:
        events = sum(waiting.events.n for waiting in group)
        with tracing.publish(self._shard, events, [waiting.span for waiting in group if waiting.span]) as span:
            try:
                with self._seconds.time():
                    waited = self._loop.time() - group[0].since
                    async with asyncio.timeout(max(LEAST_SECONDS, COMMIT_SECONDS - waited)):
                        packs = [waiting.events for waiting in group]
                        entry = await append_packed(self._redis, self._shard, packs, tracing.fields(span))
            except Exception as error:  # of whatever kind: those who wait must hear of it, and the next group must go
                tracing.failed(span, error)
                logger.warning(
                    "Redis did not take a group of events",
                    shard=self._shard,
                    events=events,
                    error=described(error),
                )
                # Whoever waits behind this group would wait in vain as long again.
                self._settle(group + self._waiting, "Redis did not take the event in time; send it again.")
                self._waiting = []
                return
            tracing.published(span, str(entry))
        self._accepted.inc(events)
        self._sizes.observe(events)
        self._settle(group, None)

    def _settle(self, group: list[Waiting], error: str | None) -> None:
        reason = UnavailableError(error) if error else None
        for waiting in group:
            self._events_waiting -= waiting.events.n
            waiting.done(reason)
