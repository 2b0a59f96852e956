"""What a batch comes to: visits, presence, votes and duplicates."""

from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.counter.agents import NAMELESS, recognise
from services.counter.columns import BOT, GUEST, MEMBER, of_rows
from services.counter.outcome import State
from shared.events import Source, StreamEvent
from shared.readmodel import SCORES_APART, Presence, presence_score
from tests.support.batches import MINUTE, NOW, batch_of, compute, leave, ping, position, reasons, rows, view, vote
from tests.support.counting import GOOGLEBOT, PERSON, SITES, event_id

LIVE = ("hanoi", Source.LIVE)
HALF_HOUR = 30 * MINUTE


GUEST_NOW = {1: presence_score(Presence.GUEST, NOW)}


def visits(*events: StreamEvent, **before: Any) -> list[bool]:
    return [row.visit for row in rows(compute(events, **before))]


def present(state: State, place: tuple[str, Source] = LIVE) -> dict[int, tuple[Presence, int]]:
    """As what each visitor of a place was seen last, and when."""
    found = {visitor: divmod(score, SCORES_APART) for visitor, score in state.places[place].seen.items() if score}
    return {visitor: (Presence(presence), at) for visitor, (presence, at) in found.items()}


def after(*events: StreamEvent) -> dict[int, tuple[Presence, int]]:
    """The same after these events."""
    state = State()
    compute(events, state)
    return present(state)


class TestAVisit:
    def test_begins_with_the_first_page_view(self) -> None:
        assert visits(view(1), view(2), view(1, MINUTE)) == [True, True, False]

    @pytest.mark.parametrize(("pause", "begins"), [(HALF_HOUR, False), (HALF_HOUR + 1, True), (-HALF_HOUR - 1, False)])
    def test_begins_anew_after_more_than_30_minutes(self, pause: int, begins: bool) -> None:
        assert visits(view(), view(at=pause)) == [True, begins]
        assert visits(view(at=pause), seen=GUEST_NOW) == [begins]

    def test_goes_on_with_every_page_view(self) -> None:
        assert visits(view(), view(at=HALF_HOUR), view(at=2 * HALF_HOUR)) == [True, False, False]

    def test_is_kept_alive_by_a_ping(self) -> None:
        assert visits(view(), ping(at=20 * MINUTE), view(at=50 * MINUTE)) == [True, False]

    def test_is_measured_from_the_latest_time_whatever_the_order(self) -> None:
        assert visits(view(at=20 * MINUTE), view(), view(at=50 * MINUTE)) == [True, False, False]

    def test_is_not_ended_by_a_leave(self) -> None:
        assert visits(view(), leave(at=MINUTE), view(at=2 * MINUTE)) == [True, False]

    def test_is_apart_on_every_site_and_for_imported_events(self) -> None:
        assert visits(view(), view(site="kolkata"), view(source=Source.IMPORT)) == [True, True, True]

    def test_is_never_a_bots(self) -> None:
        assert visits(view(agent=GOOGLEBOT), view(agent="")) == [False, False]

    def test_is_none_of_a_vote_or_a_ping(self) -> None:
        assert visits(vote(5), ping(), view()) == [False, False]


class TestAKind:
    @pytest.mark.parametrize(
        ("other", "kind", "bot", "presence"),
        [
            ({}, GUEST, "", Presence.GUEST),
            ({"member": True}, MEMBER, "", Presence.MEMBER),
            ({"agent": GOOGLEBOT}, BOT, "Googlebot", Presence.BOT),
            ({"agent": GOOGLEBOT, "member": True}, BOT, "Googlebot", Presence.BOT),
            ({"agent": ""}, BOT, NAMELESS, Presence.BOT),
            ({"agent": " \t"}, BOT, NAMELESS, Presence.BOT),
        ],
    )
    def test_is_guest_member_or_bot_by_name(
        self, other: dict[str, Any], kind: int, bot: str, presence: Presence
    ) -> None:
        state = State()
        (row,) = rows(compute([view(**other)], state))
        assert (row.kind, row.bot) == (kind, bot)
        assert present(state) == {1: (presence, NOW)}

    @pytest.mark.parametrize(
        ("agent", "name"),
        [
            ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot"),
            ("curl/8.5.0", "curl"),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot"),
        ],
    )
    def test_of_a_bot_is_named_as_it_names_itself(self, agent: str, name: str) -> None:
        assert recognise(agent) == (name, "", "")

    def test_of_a_person_has_browser_and_system(self) -> None:
        (row,) = rows(compute([view(agent=PERSON)]))
        assert (row.bot, row.browser, row.system) == ("", "Chrome", "Windows")

    @given(st.text())
    def test_of_any_user_agent_is_known(self, agent: str) -> None:
        assert len(recognise(agent).bot) <= 40


class TestPresence:
    def test_is_when_somebody_was_last_seen_whatever_the_order(self) -> None:
        assert after(view(at=MINUTE), ping(), view(2)) == {
            1: (Presence.GUEST, NOW + MINUTE),
            2: (Presence.GUEST, NOW),
        }

    def test_of_a_member_outlives_a_ping_but_not_a_page_view_as_guest(self) -> None:
        assert after(view(member=True), ping(at=1)) == {1: (Presence.MEMBER, NOW + 1)}
        assert after(view(member=True), view(at=1)) == {1: (Presence.GUEST, NOW + 1)}

    def test_ends_with_a_leave(self) -> None:
        assert after(view(), leave(at=MINUTE)) == {1: (Presence.LEFT, NOW + MINUTE)}

    @pytest.mark.parametrize(
        ("at", "presence"), [(999, Presence.GUEST), (1000, Presence.LEFT), (-MINUTE, Presence.GUEST)]
    )
    def test_outlives_a_leave_that_the_next_pages_view_overtook(self, at: int, presence: Presence) -> None:
        assert after(view(), leave(at=at))[1][0] is presence

    def test_does_not_begin_with_a_leave(self) -> None:
        assert after(leave()) == {}

    def test_begins_again_after_a_leave(self) -> None:
        assert after(view(), leave(at=MINUTE), view(at=2 * MINUTE))[1] == (Presence.GUEST, NOW + 2 * MINUTE)

    def test_now_is_not_of_imported_events(self) -> None:
        state = State()
        compute([view(source=Source.IMPORT)], state)
        assert present(state, ("hanoi", Source.IMPORT)) == {1: (Presence.GUEST, NOW)}
        assert state.places.keys() == {("hanoi", Source.IMPORT)}
        assert state.places["hanoi", Source.IMPORT].readers == {}

    def test_of_an_items_readers_ends_with_their_leave(self) -> None:
        state = State()
        compute(
            [view(1, item="/a"), ping(2, item="/a"), view(3, item="/b", agent=GOOGLEBOT), leave(2, MINUTE, item="/a")],
            state,
        )
        assert state.places[LIVE].readers == {"/a": {1: NOW, 2: None}}

    def test_alone_is_counted_but_makes_no_rows(self) -> None:
        outcome = compute([ping(), leave(at=MINUTE), view()])
        assert (outcome.presence_only, outcome.counted) == (2, 3)


class TestAVote:
    def test_remembers_the_vote_that_it_changes(self) -> None:
        state = State(votes={("hanoi", "/a", 1): 3})
        events = [vote(5, item="/a"), vote(1, item="/a"), vote(2, voter=2, item="/a"), vote(4, item="/b")]
        scores = [(row.score, row.previous) for row in rows(compute(events, state))]
        assert scores == [(5, 3), (1, 5), (2, 0), (4, 0)]
        assert state.votes == {("hanoi", "/a", 1): 1, ("hanoi", "/a", 2): 2, ("hanoi", "/b", 1): 4}

    def test_of_a_bot_is_rejected(self) -> None:
        state = State()
        outcome = compute([vote(5, agent=GOOGLEBOT)], state)
        assert (rows(outcome), reasons(outcome), state.votes) == ([], [(0, "vote_of_a_bot")], {})


class TestADuplicate:
    def test_is_an_id_that_the_batch_has_before(self) -> None:
        events = [view(1, id=event_id(1)), view(2, id=event_id(1)), vote(5, id=event_id(1)), view(3, id=event_id(2))]
        outcome = compute(events)
        assert [row.visitor for row in rows(outcome)] == [1, 3]
        assert reasons(outcome) == [(1, "duplicate"), (2, "duplicate")]

    def test_is_found_in_another_entry_of_the_batch(self) -> None:
        outcome = compute(batch_of([view(id=event_id(1))], [view(id=event_id(1), attempt=1)]))
        assert [rejected.position for rejected in outcome.rejected] == [position(1)]

    def test_is_none_on_another_site(self) -> None:
        assert compute([view(id=event_id(1)), view(id=event_id(1), site="kolkata")]).counted == 2

    @pytest.mark.parametrize(
        ("stored_at", "attempt", "counted"),
        [
            (position(0), 1, False),  # it arrived before, and its answer was lost
            (position(1, 0), 1, False),
            (position(1, 1), 1, True),  # this very event: the batch is counted once more
            (position(1, 2), 1, True),  # it came later, from a batch that was taken over first
            (position(2), 1, True),
            (position(0), 0, False),  # a browser repeated the request by itself
        ],
    )
    def test_of_a_resent_event_stands_before_it_in_the_store(self, stored_at: Any, attempt: int, counted: bool) -> None:
        stored = {("hanoi", event_id(1)): stored_at}
        outcome = compute(batch_of([view(2)], [view(3), view(id=event_id(1), attempt=attempt)]), stored=stored)
        assert (position(1, 1) in [row.position for row in rows(outcome)]) == counted
        assert ("duplicate" in dict(outcome.rejected).values()) != counted

    def test_makes_nobody_present(self) -> None:
        assert after(view(1, id=event_id(1)), view(2, id=event_id(1))).keys() == {1}


@pytest.mark.parametrize(("site", "day", "hour"), [("hanoi", 24, 1), ("kolkata", 24, 0), ("newyork", 23, 13)])
def test_a_row_has_the_sites_own_date_and_hour(site: str, day: int, hour: int) -> None:
    (row,) = rows(compute([view(site=site, at=10 * 3_600_000 + 45 * MINUTE)]))  # 18:45 UTC
    assert (row.date, row.hour) == (date(2026, 11, day), hour)


def test_a_row_has_all_of_its_event() -> None:
    event = view(2**64 - 1, id=event_id(7), title="Tiêu đề", referrer="search.example", country="VN", item="/a")
    (row,) = rows(compute(batch_of([view(1)], [view(1), event])))[2:]
    assert row.position == position(1, 1)
    assert (
        row.values
        | {
            "visitor": 2**64 - 1,
            "time": NOW,
            "title": "Tiêu đề",
            "referrer": "search.example",
            "country": "VN",
            "item": "/a",
            "agent": PERSON,
            "source": Source.LIVE,
            "id": int.from_bytes(event_id(7)),
        }
        == row.values
    )


EVENTS = st.lists(
    st.builds(
        lambda make, visitor, at, number, other: make(
            visitor=visitor, at=at, id=event_id(number), attempt=number % 2, **other
        ),
        st.sampled_from([view, view, lambda visitor, **other: vote(visitor, voter=visitor, **other)]),
        st.integers(1, 3),
        st.integers(-90, 20).map(lambda minutes: minutes * MINUTE),
        st.integers(0, 8),
        st.sampled_from([{}, {"member": True}, {"agent": GOOGLEBOT}, {"site": "kolkata"}, {"site": "nowhere"}]),
    ),
    max_size=20,
)


@given(EVENTS)
def test_columns_are_their_rows(events: list[StreamEvent]) -> None:
    outcome = compute(events)
    again = of_rows(rows(outcome))
    assert {name: list(values) for name, values in outcome.stored.items()} == {
        name: list(values) for name, values in again.items()
    }
    assert list(again) == list(outcome.stored)
    assert {len(values) for values in again.values()} == {outcome.counted}


def test_rows_that_are_stored_already_stand_whatever_is_computed_now() -> None:
    outcome = compute([view(1), view(2), view(3, site="nowhere")])
    first, second = rows(outcome)
    stored = first.but(visit=False, date=date(2020, 1, 1), hour=0)
    lost = second.but(site="nowhere", entry_index=2)
    outcome.keep({stored.position: stored, lost.position: lost})
    assert rows(outcome) == [stored, second, lost]
    assert outcome.dead == []


@given(EVENTS)
def test_the_same_batch_from_the_same_state_comes_to_the_same(events: list[StreamEvent]) -> None:
    before, seen = State(votes={("hanoi", "/a", 1): 3}), {1: presence_score(Presence.LEFT, NOW - HALF_HOUR)}
    once, again = deepcopy(before), deepcopy(before)
    batch = batch_of(events[:5], events[5:])
    assert compute(batch, once, seen=seen) == compute(batch_of(events[:5], events[5:]), again, seen=seen)
    assert once == again


@given(EVENTS)
def test_every_event_of_a_batch_comes_to_one_thing(events: list[StreamEvent]) -> None:
    events = [*events, ping(), leave()]
    outcome = compute(events)
    dead = sum(letter.content.n for letter in outcome.dead)
    assert outcome.counted + len(outcome.rejected) + dead == len(events)
    positions = [*(row.position for row in rows(outcome)), *(rejected.position for rejected in outcome.rejected)]
    assert len(set(positions)) == len(positions)
    assert {row.site for row in rows(outcome)} <= set(SITES)
