"""What a batch changes in the read model."""

from collections import Counter

import pytest

from services.counter.batch import Batch
from services.counter.changes import changes, presence_changes, reader_changes
from services.counter.columns import of_rows
from services.counter.commands import Command, Word, binary
from services.counter.outcome import Computed, State
from shared.delivery import parse_delivery
from shared.events import Source, StreamEvent
from shared.readmodel import ONLINE_MS, VISIT_MS, Presence, presence_score, visitor_member
from shared.streams import Content, EntryId, encode_entry
from tests.support.batches import ACCEPTED, NOW, batch_of, compute, entry_of, leave, ping, position, rows, view, vote
from tests.support.counting import GOOGLEBOT, event_id

LIVE = ("hanoi", Source.LIVE)


def commands_of(batch: Batch, state: State | None = None) -> list[Command]:
    state = state or State()
    outcome = compute(batch, state)
    return list(changes(Computed(batch, state, outcome)))


def as_words(content: Content) -> dict[str, Word]:
    return {"v": binary(content.v), "n": content.n, "events": binary(content.events)}


def hashes(commands: list[Command]) -> dict[str, dict[str, int]]:
    """The hashes that the commands leave behind where there was nothing."""
    found: dict[str, Counter[str]] = {}
    for name, key, *words in commands:
        if name == "HINCRBY":
            found.setdefault(str(key), Counter())[str(words[0])] += int(words[1])
        elif name == "HSET" and words[0] != "applied":
            found.setdefault(str(key), Counter())[str(words[0])] = int(words[1])
    return {key: dict(fields) for key, fields in found.items()}


def changed(*events: StreamEvent, state: State | None = None) -> dict[str, dict[str, int]]:
    return hashes(commands_of(batch_of(events), state))


def test_page_views_and_visits_add_to_their_periods() -> None:
    month, year = 31 * 86_400_000, 366 * 86_400_000
    counts = changed(view(1), view(1), view(2, at=-month), view(3, at=-year))["{0}:counts:hanoi"]
    assert counts == {
        "visits:2026-11-23": 1,
        "visits:2026-10-23": 1,
        "visits:2025-11-22": 1,
        "visits:2026-11": 1,
        "visits:2026-10": 1,
        "visits:2025-11": 1,
        "visits:2026": 2,
        "visits:2025": 1,
        "visits:total": 3,
        "pageviews:2026-11-23": 2,
        "pageviews:2026-10-23": 1,
        "pageviews:2025-11-22": 1,
        "pageviews:2026-11": 2,
        "pageviews:2026-10": 1,
        "pageviews:2025-11": 1,
        "pageviews:2026": 3,
        "pageviews:2025": 1,
        "pageviews:total": 4,
    }


def test_views_are_counted_by_item_and_site() -> None:
    found = changed(view(1, item="/a"), view(2, item="/a"), view(3, item="/b"), view(1, site="kolkata", item="/a"))
    assert found["{0}:views:hanoi"] == {"/a": 2, "/b": 1}
    assert found["{0}:views:kolkata"] == {"/a": 1}


def test_bots_pings_and_leaves_are_in_no_count() -> None:
    found = changed(view(agent=GOOGLEBOT), view(agent=""), ping(2), leave(2, at=5000))
    assert found.keys() == {"{0}:delivery"}


def test_counts_are_those_of_the_stored_rows() -> None:
    batch, state = batch_of([view(1), view(2)]), State()
    outcome = compute(batch, state)
    outcome.stored = of_rows(rows(outcome)[:1])
    commands = list(changes(Computed(batch, state, outcome)))
    assert hashes(commands)["{0}:counts:hanoi"]["visits:total"] == 1
    assert hashes(commands)["{0}:delivery"]["counted"] == 1


def test_a_first_vote_adds_to_its_score() -> None:
    found = changed(vote(4, voter=255, item="/a"), vote(4, voter=1, item="/a"))
    assert found["{0}:ratings:hanoi"] == {"4:/a": 2}
    assert found["{0}:votes:hanoi"] == {"00000000000000ff:/a": 4, "0000000000000001:/a": 4}


def test_a_changed_vote_moves_one_score() -> None:
    state = State(votes={("hanoi", "/a", 1): 2})
    found = changed(vote(5, item="/a"), vote(3, item="/a"), state=state)
    assert found["{0}:ratings:hanoi"] == {"2:/a": -1, "5:/a": 0, "3:/a": 1}
    assert found["{0}:votes:hanoi"] == {"0000000000000001:/a": 3}


def test_the_same_vote_again_changes_nothing() -> None:
    found = changed(vote(5, item="/a"), state=State(votes={("hanoi", "/a", 1): 5}))
    assert found["{0}:ratings:hanoi"] == {"5:/a": 0}


def test_a_vote_is_no_view() -> None:
    assert "{0}:counts:hanoi" not in changed(vote(5))


def test_dead_letters_carry_reason_place_and_content() -> None:
    stray = view(site="nowhere")
    unread = [view()] * 3
    broken = entry_of(1, unread)
    broken = broken._replace(fields={**broken.fields, b"v": b"9"})
    commands = commands_of(batch_of([view(), stray], broken))
    letters = [dict(zip(words[::2], words[1::2], strict=True)) for name, _, _, *words in commands if name == "XADD"]
    one, three = encode_entry([stray]), encode_entry(unread)
    assert letters == [
        {"reason": "unknown_site", "entry": str(position(0).entry), "number": 1, **as_words(one)},
        {"reason": "unknown_version", "entry": str(position(1).entry), "number": 0, **as_words(three._replace(v=b"9"))},
    ]
    assert {key for name, key, *_ in commands if name == "XADD"} == {"{0}:dead"}


def test_the_delivery_identity_adds_up_for_a_mixed_batch() -> None:
    broken = entry_of(2, [view()] * 3)
    broken = broken._replace(fields={**broken.fields, b"v": b"9"})
    first = [view(1, id=event_id(1)), view(2, id=event_id(1)), view(site="nowhere"), ping(), leave(), vote(5)]
    second = [view(agent=GOOGLEBOT), vote(1, agent=GOOGLEBOT), view(at=-NOW), view(at=2 * ACCEPTED)]
    commands = commands_of(batch_of(first, second, broken))
    found = hashes(commands)["{0}:delivery"]
    assert found == {
        "counted": 5,
        "presence": 2,
        "dead": 4,
        "rejected:duplicate": 1,
        "rejected:vote_of_a_bot": 1,
        "rejected:too_old": 1,
        "rejected:in_the_future": 1,
    }
    values = {name.encode(): b"%d" % number for name, number in found.items()}
    assert parse_delivery({**values, b"accepted": b"13"}, waiting=0).balanced
    assert not parse_delivery({**values, b"accepted": b"14"}, waiting=0).balanced
    assert parse_delivery({**values, b"accepted": b"14"}, waiting=1).balanced


def test_a_batch_says_how_far_the_shard_is_applied() -> None:
    commands = commands_of(batch_of([view()], [view()]))
    assert ("HSET", "{0}:delivery", "applied", str(EntryId(ACCEPTED + 1, 0))) in commands


@pytest.mark.parametrize("source", Source)
def test_presence_says_as_what_a_visitor_was_seen_last(source: Source) -> None:
    state = State()
    seen = {1: presence_score(Presence.LEFT, NOW - 1), 2: presence_score(Presence.GUEST, NOW - 1)}
    compute([view(1, member=True, source=source), view(2, source=source), leave(3, source=source)], state, seen=seen)
    commands = list(presence_changes(0, state.places.values()))
    key = "{0}:presence:hanoi" if source is Source.LIVE else "{0}:presence-imported:hanoi"
    member, guest = presence_score(Presence.MEMBER, NOW), presence_score(Presence.GUEST, NOW)
    added = [command for command in commands if command[0] == "ZADD"]
    # 3 was never seen
    assert added == [("ZADD", key, str(member), visitor_member(1), str(guest), visitor_member(2))]
    cut = [words for name, _, *words in commands if name == "ZREMRANGEBYSCORE"]
    assert cut == [[presence_score(who, 0), presence_score(who, NOW - VISIT_MS - 1)] for who in Presence]


def test_an_items_readers_come_and_go() -> None:
    state = State()
    compute([view(1, item="/a"), view(2, item="/a"), leave(2, at=5000, item="/a")], state)
    assert list(reader_changes(0, state.places.values())) == [
        ("ZREM", "{0}:readers:hanoi:/a", visitor_member(2)),
        ("ZADD", "{0}:readers:hanoi:/a", str(NOW), visitor_member(1)),
        ("EXPIRE", "{0}:readers:hanoi:/a", 600),
    ]


def test_one_batch_in_seventeen_takes_out_who_reads_an_item_no_more() -> None:
    trims: dict[int, list[Command]] = {}
    for at in range(170):
        for name, key, *words in commands_of(batch_of([view(1, at, item="/a"), view(2, at - 1, item="/b")])):
            if name == "ZREMRANGEBYSCORE" and ":readers:" in str(key):
                trims.setdefault(at, []).append((key, *words))
    assert len(trims) == 10
    for at, trim in trims.items():
        assert trim == [(f"{{0}}:readers:hanoi:{item}", "-inf", f"({NOW + at - ONLINE_MS}") for item in ("/a", "/b")]


def test_a_set_of_readers_never_stays_for_ever() -> None:
    """Redis forgets a key's expiry with its last member: whoever adds the next one sets it anew."""
    commands = commands_of(batch_of([view(1, item="/a"), view(1, item="/b"), leave(1, at=5000, item="/b")]))
    begun = [key for name, key, *_ in commands if name == "ZADD" and ":readers:" in str(key)]
    expire = [key for name, key, *_ in commands if name == "EXPIRE"]
    assert begun == ["{0}:readers:hanoi:/a"]
    assert set(begun) <= set(expire)


def test_no_command_is_longer_than_lua_can_unpack() -> None:
    commands = commands_of(batch_of(*([view(start + n) for n in range(500)] for start in range(0, 5000, 500))))
    assert max(map(len, commands)) < 2000
    added = [words for name, _, *words in commands if name == "ZADD"]
    assert {word for words in added for word in words[::2]} == {str(presence_score(Presence.GUEST, NOW))}
    assert len({word for words in added for word in words[1::2]}) == 5000
