"""Where the visitors of a batch are present."""

from collections import defaultdict

from msgspec import Struct, field

from shared.events import Source

Readers = dict[str, dict[int, int | None]]
"""Who was seen last when (ms), by item, then visitor; None for who left."""


class Place(Struct):
    """A site as it is now, or in an import, which has visitors of its own.

    seen: the visitors of a batch's events, as what and when they were last seen (`presence_score`), 0 for never;
    readers: those who read an item now; latest: when the last event was, in ms. All three move on while the batch is
    computed.
    """

    site: str
    source: Source
    seen: dict[int, int] = {}
    readers: Readers = field(default_factory=lambda: defaultdict(dict))
    latest: int = 0


Places = dict[tuple[str, Source], Place]
"""By site and source."""
