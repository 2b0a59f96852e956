"""What a batch changes in the read model, as ordinary Redis commands. Pure: the apply script executes them.

Counts come from the stored rows alone, so that the read model can only say what ClickHouse says. Presence comes from
the events; its scores are text, for Lua would print each number anew.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from services.counter.batch import Batch
from services.counter.commands import Command, Word, binary, parts
from services.counter.enrich import Computed, Outcome, State
from services.counter.rows import Row
from shared.events import Kind, Source
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
    visitor_member,
    votes_field,
    votes_key,
)
from shared.streams import DEAD_LEVEL, dead_key, delivery_key

_PAGEVIEW = Kind.PAGEVIEW
_WEEK_SECONDS = 7 * 86_400


def changes(computed: Computed) -> Iterator[Command]:
    """All commands of a batch, whose rows are as they are stored."""
    batch, state, outcome = computed
    shard = batch.shard
    yield from count_changes(shard, outcome.rows)
    yield from rating_changes(shard, outcome.rows)
    yield from presence_changes(shard, outcome, state)
    yield from reader_changes(shard, outcome)
    yield from delivery_changes(batch, outcome)


def count_changes(shard: int, rows: Iterable[Row]) -> Iterator[Command]:
    """Visits and page views by period, views by item."""
    people = [row for row in rows if row.event.kind is _PAGEVIEW and not row.agent.bot]
    per_day = Counter((row.site, row.there.date, row.visit) for row in people)
    views = Counter((row.site, row.event.item) for row in people)
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


def rating_changes(shard: int, rows: Iterable[Row]) -> Iterator[Command]:
    """Votes by voter, and how many of each score an item has. A changed vote leaves its former score."""
    for row in rows:
        vote = row.event
        if vote.kind is _PAGEVIEW:
            continue
        yield "HSET", votes_key(shard, row.site), votes_field(vote.item, vote.visitor), vote.score
        yield "HINCRBY", ratings_key(shard, row.site), ratings_field(vote.item, vote.score), 1
        if row.previous:
            yield "HINCRBY", ratings_key(shard, row.site), ratings_field(vote.item, row.previous), -1


def presence_changes(shard: int, outcome: Outcome, state: State) -> Iterator[Command]:
    """As what each visitor was seen last, and when; whoever was seen before the visit window goes."""
    for place, latest in outcome.latest.items():
        site, source = place
        stood = state.stood.get(place, {})
        here: list[Word] = []
        for visitor, now in state.seen[place].items():
            if now is not stood.get(visitor):
                here += str(presence_score(now.presence, now.at)), visitor_member(visitor)
        key = presence_key(shard, site, source)
        for part in parts(here):
            yield "ZADD", key, *part
        for presence in Presence:
            yield "ZREMRANGEBYSCORE", key, presence_score(presence, 0), presence_score(presence, latest - VISIT_MS - 1)
        # Longer than any outage during which events wait: they find who was seen before it.
        yield "EXPIRE", key, _WEEK_SECONDS


def reader_changes(shard: int, outcome: Outcome) -> Iterator[Command]:
    """Who has an item open."""
    for (site, item), who in outcome.readers.items():
        key = readers_key(shard, site, item)
        gone: list[Word] = []
        here: list[Word] = []
        for visitor, at in who.items():
            if at is None:
                gone.append(visitor_member(visitor))
            else:
                here += str(at), visitor_member(visitor)
        for part in parts(gone):
            yield "ZREM", key, *part
        for part in parts(here):
            yield "ZADD", key, *part
        yield "ZREMRANGEBYSCORE", key, "-inf", f"({outcome.latest[site, Source.LIVE] - ONLINE_MS}"
        yield "EXPIRE", key, 2 * ONLINE_MS // 1000


def delivery_changes(batch: Batch, outcome: Outcome) -> Iterator[Command]:
    """The counter's side of the delivery identity, dead letters, and how far the shard is applied."""
    key = delivery_key(batch.shard)
    yield "HINCRBY", key, "counted", len(outcome.rows) + outcome.presence_only
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
