"""Whether everything was counted exactly once, from the ids alone: the ledger against the store and the read model.

Nothing of truycap's own arithmetic is used: rows are counted here in Python, visits are counted by who was seen, and
the names of tables, columns and keys are written out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.chaos.ledger import DEAD, Ledger, Poison, Type

PERSON_PARTS = (("referrer", ""), ("browser", "Chrome"), ("system", "Windows"), ("country", ""))
"""What all people of the suite come with: one user agent, an address of this machine."""
MOST = 20
"""Lines of one kind that are shown."""


class StoredEvent(NamedTuple):
    """A row of `events`. time: ms since 1970 UTC."""

    shard: int
    entry_ms: int
    entry_seq: int
    entry_index: int
    id: UUID
    type: str
    site: str
    time: int
    date: str
    hour: int
    item: str
    visitor: int
    kind: str
    visit: int
    score: int


EVENTS_SQL = """
SELECT shard, entry_ms, entry_seq, entry_index, id, toString(type), toString(site), toUnixTimestamp64Milli(time),
       toString(date), hour, item, visitor, toString(kind), visit, score
FROM events ORDER BY shard, entry_ms, entry_seq, entry_index"""
TRAFFIC_SQL = """
SELECT toString(site), toString(date), hour, sum(visits), sum(pageviews), sum(bots)
FROM traffic_hourly GROUP BY site, date, hour"""
BREAKDOWN_SQL = """
SELECT toString(site), toString(date), toString(dimension), value, sum(visits), sum(pageviews)
FROM breakdown_daily GROUP BY site, date, dimension, value"""
ITEMS_SQL = "SELECT toString(site), item, sum(views), sumMap(votes).1, sumMap(votes).2 FROM items GROUP BY site, item"


class Stored(NamedTuple):
    """All that ClickHouse has, as the statements above give it."""

    events: Sequence[StoredEvent]
    traffic: Sequence[Sequence[Any]]
    breakdown: Sequence[Sequence[Any]]
    items: Sequence[Sequence[Any]]


class Shown(NamedTuple):
    """All that Redis has, by key without its shard: hashes, lengths of the streams, and the dead letters' reasons."""

    hashes: Mapping[str, Mapping[str, str]]
    waiting: int
    dead: Counter[str]


def violations(ledger: Ledger, stored: Stored, shown: Shown, zones: Mapping[str, ZoneInfo]) -> list[str]:
    """A line for everything that is not as it must be; empty where all was counted exactly once."""
    return [
        *_first(_ids(ledger, stored.events)),
        *_first(_rows(ledger, stored.events, zones)),
        *_first(_visits(stored.events)),
        *_first(_roll_ups(stored)),
        *_first(_read_model(ledger, stored.events, shown)),
        *_first(_delivery(ledger, stored.events, shown)),
    ]


def _first(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return found[:MOST] + ([f"... and {len(found) - MOST} more of these"] if len(found) > MOST else [])


def _ids(ledger: Ledger, events: Sequence[StoredEvent]) -> Iterator[str]:
    ids = Counter(event.id for event in events)
    for number, times in ids.items():
        if times > 1:
            yield f"counted {times} times: {number}"
        if number not in ledger.events:
            yield f"stored, but never sent: {number}"
    for number, sent in ledger.events.items():
        if sent.acknowledged and number not in ids:
            yield f"lost: {number}, {sent}"
    positions = Counter(event[:4] for event in events)
    for position, times in positions.items():
        if times > 1:
            yield f"{times} rows at position {position}"


def _rows(ledger: Ledger, events: Sequence[StoredEvent], zones: Mapping[str, ZoneInfo]) -> Iterator[str]:
    visitors: dict[tuple[str, str], int] = {}
    for event in events:
        sent = ledger.events.get(event.id)
        if sent is None:
            continue
        kind = "bot" if sent.bot else "member" if sent.member else "guest"
        there = datetime.fromtimestamp(event.time / 1000, UTC).astimezone(zones[sent.site])
        wanted = (sent.type, sent.site, sent.item, sent.score, kind, there.date().isoformat(), there.hour)
        found = (event.type, event.site, event.item, event.score, event.kind, event.date, event.hour)
        if found != wanted:
            yield f"{event.id} is stored as {found}, not {wanted}"
        if visitors.setdefault((sent.site, sent.by), event.visitor) != event.visitor:
            yield f"{event.id} is stored under another visitor than earlier events of {sent.by}"


def _visits(events: Sequence[StoredEvent]) -> Iterator[str]:
    """A run is shorter than 30 minutes: each visitor's first page view, and no other, begins a visit."""
    seen: set[tuple[str, int]] = set()
    for event in events:
        view = event.type == Type.PAGEVIEW and event.kind != "bot"
        first = view and (event.site, event.visitor) not in seen
        if bool(event.visit) != first:
            yield f"{event.id}, {'a first' if first else 'no first'} view of {event.site}: {event.visit} visits"
        if view:
            seen.add((event.site, event.visitor))


def _roll_ups(stored: Stored) -> Iterator[str]:
    hours: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    parts: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for event in stored.events:
        if event.type != Type.PAGEVIEW:
            continue
        bot = event.kind == "bot"
        hour = hours[event.site, event.date, event.hour]
        hour[0] += event.visit
        hour[1 + bot] += 1
        for dimension in [("bot", "Googlebot")] if bot else [("page", event.item), *PERSON_PARTS]:
            part = parts[event.site, event.date, *dimension]
            part[0] += event.visit
            part[1] += 1
    yield from _compare("traffic_hourly", hours, {tuple(row[:3]): list(row[3:]) for row in stored.traffic})
    yield from _compare("breakdown_daily", parts, {tuple(row[:4]): list(row[4:]) for row in stored.breakdown})
    views, ratings = _views(stored.events), _ratings(stored.events)
    yield from _compare("items, views", views, {(row[0], row[1]): row[2] for row in stored.items})
    rolled = {
        (row[0], row[1], score): votes for row in stored.items for score, votes in zip(row[3], row[4], strict=True)
    }
    yield from _compare("items, votes", ratings, rolled)


def _read_model(ledger: Ledger, events: Sequence[StoredEvent], shown: Shown) -> Iterator[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.type == Type.PAGEVIEW and event.kind != "bot":
            for period in (event.date, event.date[:7], event.date[:4], "total"):
                counts[event.site, f"pageviews:{period}"] += 1
                counts[event.site, f"visits:{period}"] += event.visit
    yield from _compare("counts", counts, _fields(shown, "counts"))
    yield from _compare("views", _views(events), _fields(shown, "views"))
    rated = {(site, f"{score}:{item}"): votes for (site, item, score), votes in _ratings(events).items()}
    yield from _compare("ratings", rated, _fields(shown, "ratings"))
    votes = {(site, f"{voter:016x}:{item}"): score for (site, item, voter), score in _votes(events).items()}
    yield from _compare("votes", votes, _fields(shown, "votes"))
    visitors = {(sent.site, sent.by): event.visitor for event in events if (sent := ledger.events.get(event.id))}
    stand = _votes(events)
    for (site, item, by), score in ledger.votes.items():
        if (found := stand.get((site, item, visitors.get((site, by), -1)))) != score:
            yield f"{by} voted {score} on {site}{item} last; {found} stands"


def _delivery(ledger: Ledger, events: Sequence[StoredEvent], shown: Shown) -> Iterator[str]:
    totals: Counter[str] = Counter()
    for key, fields in shown.hashes.items():
        if key == "delivery" or key.startswith("delivery "):
            totals.update({name: int(value) for name, value in fields.items() if name not in {"applied", "dead_level"}})
    rejected = {name.removeprefix("rejected:"): n for name, n in totals.items() if name.startswith("rejected:")}
    counted, dead = totals["counted"], totals["dead"]
    if shown.waiting:
        yield f"{shown.waiting} entries wait on the streams"
    if totals["accepted"] != counted + sum(rejected.values()) + dead:
        yield f"accepted {totals['accepted']} != counted {counted} + rejected {rejected} + dead-lettered {dead}"
    if counted - totals["presence"] != len(events):
        yield f"{counted - totals['presence']} page views and votes were counted, {len(events)} are stored"
    if not ledger.signals <= totals["presence"] <= ledger.signals_sent:
        yield f"{totals['presence']} pings are counted; {ledger.signals} got a 202, {ledger.signals_sent} were sent"
    if totals["accepted"] < ledger.accepted + sum(ledger.poison.values()):
        yield f"{ledger.accepted} events got a 202, but only {totals['accepted']} were accepted, with the poison"
    if dead != sum(shown.dead.values()):
        yield f"{dead} events are counted as dead-lettered, {sum(shown.dead.values())} letters lie there"
    for reason in {*shown.dead, *rejected, *Poison} - {"duplicate"}:
        found = shown.dead[reason] if reason in DEAD else rejected.get(reason, 0)
        poison = Poison(reason) if reason in set(Poison) else None
        least = ledger.poison[poison] if poison else 0
        most = least + (ledger.unsure[poison] if poison else 0)
        if not least <= found <= most:
            yield f"{found} events are rejected or dead as {reason}; {least} to {most} were sent"


def _views(events: Sequence[StoredEvent]) -> Counter[tuple[str, str]]:
    return Counter((event.site, event.item) for event in events if event.type == Type.PAGEVIEW and event.kind != "bot")


def _votes(events: Sequence[StoredEvent]) -> dict[tuple[str, str, int], int]:
    """Every voter's last vote: the rows come in the order of their shard's stream, and a site has one shard."""
    return {(event.site, event.item, event.visitor): event.score for event in events if event.type == Type.RATING}


def _ratings(events: Sequence[StoredEvent]) -> Counter[tuple[str, str, int]]:
    return Counter((site, item, score) for (site, item, _), score in _votes(events).items())


def _fields(shown: Shown, name: str) -> dict[tuple[str, str], int]:
    return {
        (key.removeprefix(f"{name}:"), field): int(value)
        for key, fields in shown.hashes.items()
        if key.startswith(f"{name}:")
        for field, value in fields.items()
    }


def _compare(what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    """Differences; what is 0 may as well be missing."""
    for key in sorted(wanted.keys() | found.keys()):
        here, there = wanted.get(key), found.get(key)
        if here != there and any(_some(value) for value in (here, there)):
            yield f"{what} {key}: {there}, not {here} as the events say"


def _some(value: Any) -> bool:
    return any(value) if isinstance(value, list) else bool(value)
