"""What was sent, what was acknowledged: the suite's own book, kept without looking at truycap."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Type(StrEnum):
    PAGEVIEW = "pageview"
    RATING = "rating"


@dataclass
class Sent:
    """A page view or vote that was sent, perhaps more than once. by: the page's visitor or voter; bot: by its agent.

    acknowledged: some sending of it got a 202.
    """

    type: Type
    site: str
    item: str
    by: str
    bot: bool = False
    member: bool = False
    score: int = 0
    acknowledged: bool = False


class Poison(StrEnum):
    """What must not be counted, by the reason that must be given for it."""

    UNDECODABLE = "undecodable"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_SITE = "unknown_site"
    WRONG_SHARD = "wrong_shard"
    IN_THE_FUTURE = "in_the_future"
    TOO_OLD = "too_old"


DEAD = frozenset({Poison.UNDECODABLE, Poison.UNKNOWN_VERSION, Poison.UNKNOWN_SITE, Poison.WRONG_SHARD})
"""What is dead-lettered; the others are rejected."""


@dataclass
class Ledger:
    """events: by id. votes: the last acknowledged score by (site, item, voter). accepted: how many events the 202s say.
    signals, signals_sent: pings and leaves, acknowledged and sent.

    poison: what was put onto the streams past ingest; unsure: what may have been (Redis did not answer).
    """

    events: dict[UUID, Sent] = field(default_factory=dict)
    votes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    accepted: int = 0
    signals: int = 0
    signals_sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    poison: Counter[Poison] = field(default_factory=Counter)
    unsure: Counter[Poison] = field(default_factory=Counter)
