"""`truycap dead-letters` on the terminal."""

from collections import Counter
from datetime import UTC, datetime

from rich.console import Console

from services.counter.dead_letters import letters, replay
from services.stores import Stores
from shared.delivery import until_counted
from shared.streams import EntryId


async def list_letters(stores: Stores, console: Console) -> None:
    """A line for each letter, and how many of each reason."""
    reasons: Counter[str] = Counter()
    for shard in range(stores.settings.shards):
        async for letter in letters(stores.redis, shard):
            reasons[letter.reason] += letter.content.n
            since = datetime.fromtimestamp(EntryId.parse(letter.name).ms / 1000, UTC)
            console.print(
                f"{since:%Y-%m-%d %H:%M:%S}  shard {shard}  entry {letter.entry} number {letter.number}  "
                f"{letter.reason}, {letter.content.n} events, {len(letter.content.events):,} bytes"
            )
    for reason, number in sorted(reasons.items()):
        console.print(f"{reason}: {number} events")
    if not reasons:
        console.print("There are no dead letters.")


async def replay_letters(stores: Stores, console: Console, reason: str | None) -> None:
    """Put the letters back onto their streams; the counter says anew what becomes of them.

    Where it runs in this process, it is waited for.
    """
    replayed: Counter[str] = Counter()
    for shard in range(stores.settings.shards):
        async for letter in letters(stores.redis, shard):
            if reason in {None, letter.reason} and await replay(stores.redis, shard, letter):
                replayed[letter.reason] += letter.content.n
    for name, number in sorted(replayed.items()):
        console.print(f"{name}: {number} events replayed")
    if not replayed:
        console.print("There was nothing to replay.")
    if stores.counter:
        for shard in range(stores.settings.shards):
            async for _ in until_counted(stores.redis, shard):
                pass
