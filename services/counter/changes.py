"""What a batch changes in the read model, as ordinary Redis commands. Pure: the apply script executes them.

Counts come from the stored rows alone, so that the read model can only say what ClickHouse says. Presence comes from
the events; its scores are text, for Lua would print each number anew.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, compress

from services.counter.batch import Batch
from services.counter.columns import Columns
from services.counter.commands import Command, Word, binary, parts
from services.counter.outcome import Computed, Outcome
from services.counter.places import Place
from shared.events import Kind
from shared.readmodel import (
    ONLINE_MS,
    VISIT_MS,
    Measure,
    Presence,
    counted_periods,
    counts_field,
    counts_key,
    presence_key,
    presence_score,
    ratings_field,
    ratings_key,
    readers_key,
    views_key,
    visitor_members,
    votes_field,
    votes_key,
)
from shared.streams import DEAD_LEVEL, dead_key, delivery_key

_PAGEVIEW, _RATING = Kind.PAGEVIEW, Kind.RATING
_WEEK_SECONDS = 7 * 86_400
BATCHES_A_TRIM = 17
"""One batch of a site in so many, on average (by the millisecond in which its last event was), takes those out of its
items' sets who do not read them any more. They are counted nowhere, for the api asks by score; they only take memory,
and to look for them with every batch was a tenth of Redis's work. A prime, so that no even rhythm always misses it."""


def changes(computed: Computed) -> Iterator[Command]:
    """All commands of a batch, whose rows are as they are stored."""
    batch, state, outcome = computed
    shard = batch.shard
    yield from count_changes(shard, outcome.stored)
    yield from rating_changes(shard, outcome.stored)
    yield from presence_changes(shard, state.places.values())
    yield from reader_changes(shard, state.places.values())
    yield from delivery_changes(batch, outcome)


def count_changes(shard: int, stored: Columns) -> Iterator[Command]:
    """Visits and page views by period, views by item. By column, as loops in C."""
    people = [of == _PAGEVIEW and not bot for of, bot in zip(stored["type"], stored["bot"], strict=True)]
    per_day = Counter(compress(zip(stored["site"], stored["date"], stored["visit"], strict=True), people))
    views = Counter(compress(zip(stored["site"], stored["item"], strict=True), people))
    totals: Counter[tuple[str, str]] = Counter()
    for (site, day, visit), number in per_day.items():
        for period in counted_periods(day):
            totals[site, counts_field(Measure.PAGEVIEWS, period)] += number
            if visit:
                totals[site, counts_field(Measure.VISITS, period)] += number
    for (site, field), number in totals.items():
        yield "HINCRBY", counts_key(shard, site), field, number
    for (site, item), number in views.items():
        yield "HINCRBY", views_key(shard, site), item, number


def rating_changes(shard: int, stored: Columns) -> Iterator[Command]:
    """Votes by voter, and how many of each score an item has. A changed vote leaves its former score."""
    names = ("site", "item", "visitor", "score", "previous")
    votes = [of == _RATING for of in stored["type"]]
    for site, item, voter, score, previous in compress(zip(*(stored[name] for name in names), strict=True), votes):
        yield "HSET", votes_key(shard, site), votes_field(item, voter), score
        yield "HINCRBY", ratings_key(shard, site), ratings_field(item, score), 1
        if previous:
            yield "HINCRBY", ratings_key(shard, site), ratings_field(item, previous), -1


def presence_changes(shard: int, places: Iterable[Place]) -> Iterator[Command]:
    """As what each visitor was seen last, and when; whoever was seen before the visit window goes."""
    for place in places:
        if not place.latest:
            continue
        key = presence_key(shard, place.site, place.source)
        seen = {visitor: score for visitor, score in place.seen.items() if score}
        here = zip(map(str, seen.values()), visitor_members(seen), strict=True)
        for part in parts(list(chain.from_iterable(here))):
            yield "ZADD", key, *part
        gone = place.latest - VISIT_MS - 1
        for presence in Presence:
            yield "ZREMRANGEBYSCORE", key, presence_score(presence, 0), presence_score(presence, gone)
        # Longer than any outage during which events wait: they find who was seen before it.
        yield "EXPIRE", key, _WEEK_SECONDS


def reader_changes(shard: int, places: Iterable[Place]) -> Iterator[Command]:
    """Who has an item open."""
    for place in places:
        prefix = readers_key(shard, place.site, "")
        trims = place.latest % BATCHES_A_TRIM == 0
        oldest = f"({place.latest - ONLINE_MS}"
        members = iter(visitor_members([visitor for who in place.readers.values() for visitor in who]))
        for item, who in place.readers.items():
            key = prefix + item
            gone: list[Word] = []
            here: list[Word] = []
            for at, member in zip(who.values(), members, strict=False):  # the next item's follow
                if at is None:
                    gone.append(member)
                else:
                    here += str(at), member
            if gone:
                yield from (("ZREM", key, *part) for part in parts(gone))
            if here:
                yield from (("ZADD", key, *part) for part in parts(here))
            if trims:
                yield "ZREMRANGEBYSCORE", key, "-inf", oldest
            # Each time: a set that was empty in between has lost it.
            yield "EXPIRE", key, 2 * ONLINE_MS // 1000


def delivery_changes(batch: Batch, outcome: Outcome) -> Iterator[Command]:
    """The counter's side of the delivery identity, dead letters, and how far the shard is applied."""
    key = delivery_key(batch.shard)
    yield "HINCRBY", key, "counted", outcome.counted
    yield "HINCRBY", key, "presence", outcome.presence_only
    for reason, number in Counter(reason for _, reason in outcome.rejected).items():
        yield "HINCRBY", key, f"rejected:{reason}", number
    for letter in outcome.dead:
        (entry, number), content = letter.position, letter.content
        fields: dict[str, Word] = {
            "reason": letter.reason,
            "entry": str(entry),
            "number": number,
            "v": binary(content.v),
            "n": content.n,
            "events": binary(content.events),
        }
        yield "HINCRBY", key, "dead", content.n
        yield "XADD", dead_key(batch.shard), "*", *(word for field in fields.items() for word in field)
    if outcome.level_change:  # not the level itself: a replay may change it meanwhile
        yield "HINCRBY", key, DEAD_LEVEL, outcome.level_change
    yield "HSET", key, "applied", str(batch.entries[-1].id)
