"""The level of dead letters: what raises it, what lowers it, where counting stops."""

import re

import pytest

from services.counter.ceiling import LETTER, DeadLetterCeilingError, level_change
from services.counter.outcome import DeadLetter, Outcome, Rejected
from shared.delivery import parse_delivery
from shared.streams import Content
from tests.support.batches import position

CEILING = 100


def outcome(
    dead: int = 0, good: int = 0, *, rejected: int = 0, events: int = 1, reason: str = "undecodable"
) -> Outcome:
    """So many dead letters, of so many events each, beside good events."""
    letters = [DeadLetter(position(number), reason, Content(b"1", events, b"")) for number in range(dead)]
    refused = [Rejected(position(number), "duplicate") for number in range(rejected)]
    return Outcome(dead=letters, presence_only=good, rejected=refused)


def level_after(level: int, batch: Outcome, ceiling: int = CEILING) -> int:
    return level + level_change(0, level, batch, (), ceiling)


def test_a_letter_raises_the_level_by_one_and_100_good_events_lower_it_by_one() -> None:
    assert level_after(0, outcome(dead=3)) == 3 * LETTER
    assert level_after(3 * LETTER, outcome(good=60, rejected=40)) == 2 * LETTER
    assert level_after(3 * LETTER, outcome(dead=1, good=150)) == 2.5 * LETTER


def test_the_good_events_of_many_small_batches_add_up() -> None:
    level = 2 * LETTER
    for _ in range(50):
        level = level_after(level, outcome(good=2))
    assert level == LETTER


def test_the_level_never_falls_below_0() -> None:
    assert level_after(0, outcome(good=10_000)) == 0
    assert level_after(LETTER, outcome(good=10_000)) == 0
    assert level_after(-LETTER, outcome()) == 0  # as an earlier version could leave it


def test_letters_that_were_replayed_may_die_again_and_others_beside_them_may_not() -> None:
    batch = outcome(dead=3 * CEILING, good=50)
    replayed = {letter.position.entry for letter in batch.dead}
    assert level_change(0, LETTER, batch, replayed, CEILING) == -50
    with pytest.raises(DeadLetterCeilingError):
        level_change(0, LETTER, batch, list(replayed)[CEILING:], CEILING)


def test_the_ceiling_may_be_reached_but_not_passed() -> None:
    assert level_after(0, outcome(dead=CEILING)) == CEILING * LETTER
    with pytest.raises(DeadLetterCeilingError):
        level_change(0, 0, outcome(dead=CEILING + 1), (), CEILING)
    with pytest.raises(DeadLetterCeilingError):
        level_change(0, CEILING * LETTER, outcome(dead=1, good=99), (), CEILING)


def test_at_the_ceiling_good_events_pass_and_so_does_a_letter_among_enough_of_them() -> None:
    top = CEILING * LETTER
    assert level_after(top, outcome(good=1)) == top - 1
    assert level_after(top, outcome(dead=1, good=100)) == top


def test_one_letter_in_100_events_is_let_pass_for_ever() -> None:
    level = 0
    for _ in range(1000):
        level = level_after(level, outcome(dead=2, good=200))
    assert level == 0


def test_without_a_ceiling_the_level_rises_all_the_same() -> None:
    assert level_after(0, outcome(dead=1000), ceiling=0) == 1000 * LETTER


def test_what_a_higher_ceiling_let_pass_is_settled_when_it_is_set_back() -> None:
    level = level_after(0, outcome(dead=1000), ceiling=5000)
    assert level_after(level, outcome(dead=1)) == LETTER
    with pytest.raises(DeadLetterCeilingError):
        level_change(0, level, outcome(dead=CEILING + 1), (), CEILING)


def test_the_error_says_in_one_line_what_is_wrong_and_what_to_do() -> None:
    batch = outcome(dead=1000, events=3)
    batch.dead += outcome(dead=1, reason="unknown_site").dead
    with pytest.raises(DeadLetterCeilingError) as caught:
        level_change(7, 0, batch, (), CEILING)
    message = caught.value.message
    assert caught.value.exit_code == 1
    assert "shard 7 has 1,001 dead letters with 3,001 events" in message
    assert "(undecodable: 1,000 with 3,000, unknown_site: 1 with 1)" in message
    for advice in ("Nothing of it", "earlier version", "truycap.toml"):
        assert advice in message
    assert "\n" not in message


def test_the_error_names_the_level_before_and_a_ceiling_that_suffices() -> None:
    level, batch = 99 * LETTER, outcome(dead=42, good=150)
    with pytest.raises(DeadLetterCeilingError) as caught:
        level_change(0, level, batch, (), CEILING)
    message = caught.value.message
    assert "from 99.00 to 139.50" in message
    suffices = advised(message)
    assert level_after(level, batch, suffices) == 139.5 * LETTER
    with pytest.raises(DeadLetterCeilingError):
        level_change(0, level, batch, (), suffices - 1)


def test_a_ceiling_that_suffices_does_so_for_a_level_that_was_settled_under_a_lower_one() -> None:
    level, batch = 120 * LETTER, outcome(dead=150)
    with pytest.raises(DeadLetterCeilingError) as caught:
        level_change(0, level, batch, (), CEILING)
    assert "from 0.00 to 150.00" in caught.value.message
    assert level_after(level, batch, advised(caught.value.message)) == 270 * LETTER


def advised(message: str) -> int:
    """The ceiling that the error names."""
    found = re.search(r"at least (\d+)", message)
    assert found
    return int(found[1])


def test_the_level_is_no_number_of_the_delivery_identity() -> None:
    delivery = parse_delivery({b"accepted": b"3", b"dead": b"3", b"dead_level": b"300"}, waiting=0)
    assert (delivery.dead, delivery.rejected, delivery.balanced) == (3, {}, True)
