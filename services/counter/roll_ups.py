"""How the roll-ups are filled: by the SELECT of their views, here also over other rows than all of `events`."""

from services.counter.truth import sql
from shared.clickhouse import Queries


async def filling(store: Queries, table: str, events: str) -> tuple[str, str]:
    """The SELECT that fills a roll-up, over `events` (a table or a subquery), and the columns of the roll-up."""
    ((rule, columns),) = await store.query(sql("rule"), {"table": table})
    before, found, after = rule.partition(".events")
    assert found, "the views read from the table events"  # noqa: S101 - their migration says so
    return before[: before.rindex(" ") + 1] + events + after, columns
