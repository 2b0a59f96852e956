"""Each guarantee broken on purpose, for the suite must see it: a suite that cannot fail proves nothing."""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.counter import apply as apply_module
from services.counter import consume, overlap, session, write
from services.counter.batch import Batch
from services.counter.lease import Lease, epoch_key
from services.counter.outcome import Computed, State
from services.counter.sort_out import Arrivals
from services.counter.state import read_state
from services.counter.store import PatientStore
from services.ingest import publish
from shared.streams import GROUP, EntryId, Packed, append_packed, events_key

MAXLEN = 5


class Sabotage(StrEnum):
    """What is broken."""

    NO_TOKEN = "no token"
    NO_FENCE = "no fence"
    APPLY_FIRST = "apply before insert"
    TRIM = "trim by MAXLEN"
    GROUP_AT_END = "group at $"
    NO_WINDOW = "a dedup window missing on one view target"


WITHOUT_WINDOW = "ALTER TABLE items MODIFY SETTING non_replicated_deduplication_window = 0"
"""This one is done to the store, after its migration."""


def install(sabotage: Sabotage) -> None:
    """Break it in this process."""
    match sabotage:
        case Sabotage.NO_TOKEN:
            # Without a token ClickHouse drops a block that it has seen by its content, so that must go too.
            settings = write.insert_settings("")
            del settings["insert_deduplication_token"]
            _replace(write, "insert_settings", lambda _: {**settings, "deduplicate_insert": "disable"})
        case Sabotage.NO_FENCE:
            for module in (apply_module, overlap):
                fence, _, rest = module._SCRIPT.partition(" then return -1 end")
                assert rest, "the fence is no longer where it was"
                _replace(module, "_SCRIPT", fence[: fence.rindex("if ")] + rest)
            _replace(Lease, "renew", _renew_without_fence)
            _replace(consume, "read_state", _read_state_without_fence)
            # What two of them do to each other they do where they count at the same moment: no pauses.
            _replace(session, "SPACING_SECONDS", 0.0)
            _replace(session, "FEW_SPACING_SECONDS", 0.0)
        case Sabotage.APPLY_FIRST:
            _apply_first()
        case Sabotage.TRIM:
            _replace(publish, "append_packed", _append_and_trim)
        case Sabotage.GROUP_AT_END:
            _replace(session, "ensure_group", _ensure_group_at_end)
        case Sabotage.NO_WINDOW:
            pass


async def _renew_without_fence(lease: Lease, epoch: int) -> None:
    """Whoever had the shard believes to have it still."""


async def _read_state_without_fence(
    redis: "Redis", shard: int, _: int, arrivals: Arrivals, before: Computed | None = None
) -> State:
    newest: Any = await redis.get(epoch_key(shard))
    return await read_state(redis, shard, int(newest), arrivals, before)


def _apply_first() -> None:
    later: dict[str, Callable[[], Awaitable[Any]]] = {}

    async def write_later(store: PatientStore, token: str, *arguments: Any) -> bool:
        later[token] = lambda: real_write(store, token, *arguments)
        return True

    async def ensure_later(store: PatientStore, batch: Batch, *arguments: Any) -> None:
        later[batch.token] = lambda: real_ensure(store, batch, *arguments)

    async def apply_then_write(redis: "Redis", batch: Batch, *arguments: Any) -> bool:
        applied: bool = await real_apply(redis, batch, *arguments)
        await later.pop(batch.token)()
        return applied

    real_write = _replace(consume, "write_once", write_later)
    real_ensure = _replace(consume, "ensure_written", ensure_later)
    real_apply = _replace(consume, "apply", apply_then_write)


async def _append_and_trim(redis: "Redis", shard: int, events: Sequence[Packed], _: object) -> EntryId:
    entry = await append_packed(redis, shard, events)
    await redis.xtrim(events_key(shard), maxlen=MAXLEN, approximate=False)
    return entry


async def _ensure_group_at_end(redis: "Redis", shard: int) -> None:
    try:
        await redis.xgroup_create(events_key(shard), GROUP, id="$", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _replace(owner: Any, name: str, by: Any) -> Any:
    """Put something else in its place; returns what was there. AttributeError where nothing was."""
    before = getattr(owner, name)
    setattr(owner, name, by)
    return before
