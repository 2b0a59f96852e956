"""Entries of the stream: what was written is read, and what cannot be read spoils nothing beside it."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import MAX_ATTEMPT, Kind, Source, StreamEvent
from shared.streams import (
    MAX_ENTRY_EVENTS,
    Content,
    Entry,
    EntryId,
    Malformed,
    decode_entry,
    encode_entry,
    number_of_events,
    sent_again,
)
from tests.support.batches import as_read

TEXT = st.text()
EVENTS = st.builds(
    StreamEvent,
    kind=st.sampled_from(Kind),
    source=st.sampled_from(Source),
    site=TEXT,
    time=st.integers(0, 2**63 - 1),
    id=st.sampled_from([b"", UUID(int=1).bytes]) | st.binary(max_size=16),
    visitor=st.integers(0, 2**64 - 1),
    item=TEXT,
    member=st.booleans(),
    attempt=st.integers(0, 65535),
    score=st.integers(0, 5),
    referrer=TEXT,
    title=TEXT,
    agent=TEXT,
    country=TEXT,
)
GOOD = StreamEvent(Kind.PAGEVIEW, Source.LIVE, "a", 1, UUID(int=1).bytes, 2**64 - 1, "/")


def alone(event: StreamEvent) -> bytes:
    """An event as it stands in an entry."""
    return encode_entry([event]).events[1:]


BAD_EVENTS = {
    "too short": b"\x92\x01\x01",
    "a number": b"\x05",
    "a kind that there is not": alone(GOOD).replace(b"\x9e\x01", b"\x9e\x09", 1),
    "text that is not UTF-8": alone(GOOD).replace(b"\xa1a", b"\xa1\xff", 1),
}
DEEP = b"\x91" * 100_000 + b"\x01"


def entry(n: int, events: bytes, version: bytes = b"1") -> Entry:
    return Entry(EntryId(1, 0), as_read(Content(version, n, events)))


def entry_of(*events: bytes) -> Entry:
    return entry(len(events), bytes([0x90 + len(events)]) + b"".join(events))


@given(st.lists(EVENTS, max_size=5))
def test_events_are_read_as_they_were_written(events: list[StreamEvent]) -> None:
    assert decode_entry(Entry(EntryId(1, 0), as_read(encode_entry(events)))) == events


@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_a_bad_event_among_good_ones_keeps_its_place(bad: bytes) -> None:
    found = entry_of(alone(GOOD), bad, alone(GOOD))
    assert decode_entry(found) == [GOOD, Malformed("undecodable", Content(b"1", 1, b"\x91" + bad)), GOOD]


@pytest.mark.parametrize("version", [b"2", b"", b"one"])
def test_an_entry_of_another_version_counts_for_all_of_its_events(version: bytes) -> None:
    content = encode_entry([GOOD] * 3)._replace(v=version)
    assert decode_entry(Entry(EntryId(1, 0), as_read(content))) == [Malformed("unknown_version", content)]


@pytest.mark.parametrize(
    "events", [b"", b"\xc1", b"\x93\x01", b"\x05", b"\x90\x90", DEEP, b"\x91\x9f" + alone(GOOD)[1:] + DEEP]
)
def test_an_entry_that_cannot_be_read_counts_for_all_of_its_events(events: bytes) -> None:
    assert decode_entry(entry(7, events)) == [Malformed("undecodable", Content(b"1", 7, events))]


def test_an_entry_with_another_number_of_events_than_it_says_counts_for_what_it_says() -> None:
    content = encode_entry([GOOD] * 2)._replace(n=3)
    assert decode_entry(Entry(EntryId(1, 0), as_read(content))) == [Malformed("undecodable", content)]


@pytest.mark.parametrize("number", [b"", b"-3", b"many", b"1.5"])
def test_an_entry_that_does_not_say_how_many_events_it_has_counts_for_one(number: bytes) -> None:
    found = Entry(EntryId(1, 0), {b"v": b"1", b"n": number, b"events": b"?"})
    assert decode_entry(found) == [Malformed("undecodable", Content(b"1", 1, b"?"))]


def test_an_entry_that_says_to_hold_more_events_than_any_counts_for_the_most() -> None:
    found = Entry(EntryId(1, 0), {b"v": b"1", b"n": b"9" * 5000, b"events": b"?"})
    assert number_of_events(found) == MAX_ENTRY_EVENTS
    assert decode_entry(found) == [Malformed("undecodable", Content(b"1", MAX_ENTRY_EVENTS, b"?"))]


def test_an_entry_without_fields_is_malformed() -> None:
    assert decode_entry(Entry(EntryId(1, 0), {})) == [Malformed("unknown_version", Content(b"", 1, b""))]


@given(st.binary())
def test_no_content_raises(events: bytes) -> None:
    decode_entry(entry(1, events))


def test_what_is_sent_again_has_a_higher_attempt_where_it_has_an_id() -> None:
    ping = msgspec.structs.replace(GOOD, kind=Kind.PING, id=b"")
    last = msgspec.structs.replace(GOOD, attempt=MAX_ATTEMPT)
    again = sent_again(encode_entry([GOOD, ping, last]))
    assert again == encode_entry([msgspec.structs.replace(GOOD, attempt=1), ping, last])


@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_what_cannot_be_decoded_is_sent_again_as_it_is(bad: bytes) -> None:
    again = sent_again(Content(b"1", 2, b"\x92" + alone(GOOD) + bad))
    assert again == Content(b"1", 2, b"\x92" + alone(msgspec.structs.replace(GOOD, attempt=1)) + bad)
    for content in (Content(b"2", 1, b"\x91" + alone(GOOD)), Content(b"1", 1, bad[:-1])):
        assert sent_again(content) == content


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_entry_id_is_read_as_it_is_written(ms: int, seq: int) -> None:
    entry_id = EntryId(ms, seq)
    assert EntryId.parse(str(entry_id)) == EntryId.parse(str(entry_id).encode()) == entry_id


def test_entry_ids_are_in_the_streams_order() -> None:
    ordered = ["9-0", "10-2", "10-10", "100-1"]
    assert sorted(ordered, key=EntryId.parse) == ordered
