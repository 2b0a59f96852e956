"""What of a batch may be counted, and why the rest may not."""

from datetime import date
from typing import Any

import pytest

from services.counter.outcome import DeadLetter
from shared.events import StreamEvent
from shared.sites import Site, Sites
from shared.streams import encode_entry
from tests.support.batches import (
    ACCEPTED,
    MINUTE,
    NOW,
    batch_of,
    compute,
    entry_of,
    ping,
    position,
    reasons,
    view,
    vote,
)


class TestADeadLetter:
    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            (view(site="nowhere"), "unknown_site"),
            (view(id=b"short"), "undecodable"),
            (vote(5, id=b""), "undecodable"),
            (vote(0), "undecodable"),
            (ping(id=b"short", attempt=1), "undecodable"),
        ],
    )
    def test_is_what_cannot_be_counted_with_reason_and_content(self, event: StreamEvent, reason: str) -> None:
        outcome = compute([view(), event, view(2)])
        assert outcome.dead == [DeadLetter(position(0, 1), reason, encode_entry([event]))]
        assert outcome.counted == 2

    def test_is_an_event_on_the_wrong_shard(self) -> None:
        sites = Sites([Site(id="demo", hostnames=["*"]), Site(id="caobang", hostnames=["*"])], shards=2)
        other = Sites([Site(id="a", hostnames=["*"])], shards=2)
        assert (sites.shard("demo"), sites.shard("caobang"), other.shard("a")) == (0, 0, 1)
        assert [letter.reason for letter in compute([view(site="a")], sites=other).dead] == ["wrong_shard"]
        assert compute(batch_of([view(site="a")], shard=1), sites=other).counted == 1

    def test_is_an_entry_that_cannot_be_read_for_all_its_events(self) -> None:
        unread = [view()] * 3
        broken = entry_of(0, unread)
        broken = broken._replace(fields={**broken.fields, b"v": b"9"})
        outcome = compute(batch_of(broken, [view()]))
        assert outcome.dead == [DeadLetter(position(0), "unknown_version", encode_entry(unread)._replace(v=b"9"))]
        assert outcome.counted == 1


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (946_684_799_999 - NOW, [(0, "too_old")]),
        (946_684_800_000 - NOW, []),
        (-400 * 86_400_000, []),
        (ACCEPTED - NOW + 10 * MINUTE, []),
        (ACCEPTED - NOW + 10 * MINUTE + 1, [(0, "in_the_future")]),
    ],
)
def test_a_time_that_cannot_be_is_rejected(at: int, found: list[tuple[int, str]]) -> None:
    outcome = compute([view(at=at)])
    assert reasons(outcome) == found
    assert outcome.counted == 1 - len(found)


@pytest.mark.parametrize(
    ("site", "event", "rejected"),
    [
        ("hanoi", view, True),  # 31 October, midnight in Việt Nam but a second
        ("hanoi", vote, True),
        ("kolkata", view, False),  # nothing of it has left
        ("newyork", view, False),  # its September has
    ],
)
def test_what_comes_to_a_month_that_has_left_is_rejected(site: str, event: Any, rejected: bool) -> None:
    last = -(22 * 24 + 15) * 3_600_000 - 1000  # 2026-10-31T16:59:59Z
    expired = {"hanoi": {date(2026, 10, 1)}, "newyork": {date(2026, 9, 1)}}
    arguments = (5,) if event is vote else ()
    outcome = compute([event(*arguments, site=site, at=last)], expired=expired)
    assert reasons(outcome) == [(0, "expired")] * rejected
    assert compute([event(*arguments, site=site, at=last + 1000)], expired=expired).counted == 1
