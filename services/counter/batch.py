"""A batch: exactly the entries that are pending for one consumer, in stream order."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

from shared.events import StreamEvent
from shared.streams import REPLAYED, Entry, EntryId, Malformed, decode_entry, number_of_events


class Position(NamedTuple):
    """Where an event stands on its shard's stream: an entry, and the event's number within it, from 0."""

    entry: EntryId
    number: int


class Batch:
    """The entries of one shard that are counted together. recovered: another consumer may have begun on them."""

    def __init__(self, shard: int, entries: Sequence[Entry], *, recovered: bool = False) -> None:
        self.shard = shard
        self.entries = entries
        self.recovered = recovered

    @cached_property
    def token(self) -> str:
        """What the store knows the batch by: the same for the same entries, whoever inserts them."""
        ids = " ".join(str(entry.id) for entry in self.entries)
        return f"{self.shard}:{blake2b(ids.encode(), digest_size=16).hexdigest()}"

    @cached_property
    def replayed(self) -> frozenset[EntryId]:
        """The entries that were dead letters."""
        return frozenset(entry.id for entry in self.entries if REPLAYED in entry.fields)

    @property
    def events(self) -> Iterator[tuple[EntryId, list[StreamEvent | Malformed]]]:
        """What the entries hold, in order; a place in a list is an event's number. Decoded one by one, as they are
        asked for: an event that was just made is still in the processor's cache."""
        return ((entry.id, decode_entry(entry)) for entry in self.entries)

    @cached_property
    def size(self) -> int:
        """How many events there are, as the entries say."""
        return sum(map(number_of_events, self.entries))
