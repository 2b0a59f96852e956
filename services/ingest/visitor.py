"""Who a visitor is: 64 bits that say nothing of the person and are never the same on two sites.

Where the browser keeps the tracker's random id, the number is a hash of site and id. Elsewhere, and always under Do Not
Track or Global Privacy Control, it is a keyed hash of site, address and user agent under a salt that changes every UTC
day and is then forgotten. No address is stored.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.ingest.errors import UnavailableError
from shared import log
from shared.errors import described
from shared.remembered import Remembered

DAY_MS = 86_400_000
_REFRESH_SECONDS = 60.0

logger = log.get(__name__)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


tracked = Remembered(_hash)
"""The visitors of a tracker's random ids, by site, NUL and id."""


def from_address(salt: bytes, site: str, address: str, agent: str) -> int:
    """The visitor of an address and user agent on one UTC day. salt: that day's, at most 64 bytes."""
    text = f"{site}\0{address}\0{agent}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=8, key=salt).digest(), "big")


class Salts:
    """The daily salts, shared by all ingest processes through Redis, which forgets each when its day is over.

    Tomorrow's is fetched ahead, so that a request never waits for one.
    """

    def __init__(self, redis: "Redis", now_ms: Callable[[], int]) -> None:
        self._redis = redis
        self._now_ms = now_ms
        self._by_day: dict[int, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def today(self, time_ms: int) -> bytes:
        """The salt of the UTC day of `time_ms`, from memory. UnavailableError where Redis has not given it yet."""
        try:
            return self._by_day[time_ms // DAY_MS]
        except KeyError:
            raise UnavailableError("Redis does not answer; send the event again.") from None

    async def start(self) -> None:
        try:
            await self._refresh()
        except RedisError as error:
            logger.warning("the day's salt is not there yet", error=described(error))
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def _keep(self) -> None:
        while True:
            try:
                await self._refresh()
                await asyncio.sleep(_REFRESH_SECONDS)
            except Exception as error:  # of whatever kind: without a salt nobody is counted after midnight
                logger.warning("the daily salt could not be fetched", error=described(error))
                await asyncio.sleep(1.0)

    async def _refresh(self) -> None:
        today = self._now_ms() // DAY_MS
        for day in (today, today + 1):
            if day not in self._by_day:
                self._by_day[day] = await self._fetch(day)
        over = [day for day in self._by_day if day < today]
        for day in over:
            del self._by_day[day]
        if over:
            # Redis has forgotten it, its append-only file not yet.
            with suppress(RedisError):
                await self._redis.bgrewriteaof()

    async def _fetch(self, day: int) -> bytes:
        ends = datetime.fromtimestamp((day + 1) * 86_400, UTC)
        key = f"salt:{(ends - timedelta(days=1)).date().isoformat()}"
        await self._redis.set(key, secrets.token_bytes(32), nx=True, exat=ends)
        salt: bytes | None = await self._redis.get(key)  # type: ignore[assignment]
        if salt is None:
            raise RedisError(f"{key} vanished")
        return salt
