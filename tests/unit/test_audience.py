"""When the streams of a site get what: at most one event a second, the newest, a heartbeat where nothing happens."""

from itertools import pairwise
from typing import Any, cast

from services.api.snapshots import Snapshot
from services.api.streams import HEARTBEAT_SECONDS, TICK_SECONDS, Audience, Reader


def snapshot(number: int) -> Snapshot:
    return Snapshot({}, b"%d" % number, f'W/"{number}"')


class Stand:
    """An audience, its readers by name, and what is sent to whom at a time."""

    def __init__(self) -> None:
        self.audience = Audience()
        self.readers: dict[str, Reader] = {}

    def comes(self, name: str, now: float) -> None:
        """A reader who has its first event at once, as `Streams.open` sends it."""
        reader = Reader(cast(Any, None), now)
        self.readers[name] = reader
        self.audience.readers[reader] = None
        self.audience.had(reader, now)

    def goes(self, name: str) -> None:
        del self.audience.readers[self.readers.pop(name)]

    def sent(self, now: float) -> list[str]:
        names = {reader: name for name, reader in self.readers.items()}
        return [f"{names[reader]} {data.split()[-1].decode()}" for reader, data in self.audience.due(now)]


def test_an_event_reaches_who_is_free_at_once_and_the_others_a_second_after_their_last() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(1), 0.0)
    stand.comes("an", 0.0)
    stand.comes("binh", 2.5)
    assert stand.sent(2.6) == []
    stand.audience.tell(snapshot(2), 3.0)
    assert stand.sent(3.0) == ["an 2"]
    stand.audience.tell(snapshot(3), 3.2)
    assert stand.sent(3.49) == []
    assert stand.sent(3.5) == ["binh 3"]
    assert stand.sent(3.99) == []
    assert stand.sent(4.0) == ["an 3"]
    assert stand.sent(9.0) == []


def test_numbers_that_are_the_same_again_are_no_event_but_those_that_came_back_are() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(1), 0.0)
    stand.comes("an", 0.0)
    stand.comes("binh", 0.9)
    stand.audience.tell(snapshot(1), 1.0)
    assert stand.sent(1.0) == []
    stand.audience.tell(snapshot(2), 1.0)
    assert stand.sent(1.0) == ["an 2"]
    stand.audience.tell(snapshot(1), 1.9)
    assert stand.sent(2.0) == ["binh 1", "an 1"]


def test_being_late_is_not_added_up() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(0), 0.0)
    stand.comes("an", 0.0)
    for number in range(1, 100):
        stand.audience.tell(snapshot(number), number)
        assert stand.sent(number + 0.9 * TICK_SECONDS) == [f"an {number}"]


def test_no_two_events_of_a_stream_are_less_than_a_second_and_a_tick_apart() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(0), 0.0)
    stand.comes("an", 0.0)
    times = []
    for step in range(1, 1000):
        now = step * 0.013 + (0.4 if step > 300 else 0.0)
        stand.audience.tell(snapshot(step), now)
        times += [now] * len(stand.sent(now))
    assert len(times) > 10
    assert all(later - earlier >= 1 - TICK_SECONDS for earlier, later in pairwise(times))


def test_a_heartbeat_comes_where_nothing_changes_and_holds_up_no_event() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(1), 0.0)
    stand.comes("an", 0.0)
    stand.comes("binh", 14.9)
    assert stand.sent(HEARTBEAT_SECONDS - 0.1) == []
    assert stand.sent(HEARTBEAT_SECONDS) == ["an here", "binh here"]
    assert stand.sent(HEARTBEAT_SECONDS + 0.1) == []
    stand.audience.tell(snapshot(2), 15.2)
    assert stand.sent(15.2) == ["an 2"]


def test_readers_may_go_while_others_are_served() -> None:
    stand = Stand()
    stand.audience.tell(snapshot(1), 0.0)
    for name in ("an", "binh", "chi"):
        stand.comes(name, 0.0)
    stand.audience.tell(snapshot(2), 2.0)
    due = stand.audience.due(2.0)
    assert next(due)[0] is stand.readers["an"]
    chi = stand.readers["chi"]
    stand.goes("binh")
    assert [reader for reader, _ in due] == [chi]
