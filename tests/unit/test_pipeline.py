"""From the bytes of a request to events for the stream."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.collect import countries
from services.ingest.errors import InvalidError, NotJSONError, OriginNotAllowedError, TooLargeError, TooManyError
from services.ingest.pipeline import Pipeline, RateLimit, Sender
from services.ingest.visitor import DAY_MS
from shared.errors import TruycapError, UnknownSiteError
from shared.events import Kind, Source, StreamEvent
from shared.sites import Site, Sites
from shared.streams import Entry, EntryId, decode_entry, encode_entry
from tests.support.batches import NOW, as_read
from tests.support.counting import PERSON

SITES = Sites(
    [
        Site(id="portal", hostnames=["Portal.example.vn", "localhost"]),
        Site(id="other", hostnames=["*"]),
    ],
    shards=1,
)
ID = "0b8e4a0e-5b0c-4b0e-8b0e-0b8e4a0e5b0c"
URL = "https://portal.example.vn/tin-tuc/?p=1"
ADDRESS = "8.8.8.8"
VIEW: dict[str, Any] = {"type": "pageview", "site": "portal", "id": ID, "url": URL}
VOTE: dict[str, Any] = {"type": "rating", "site": "portal", "id": ID, "item": "/tin-tuc/", "score": 5}
PING: dict[str, Any] = {"type": "ping", "site": "portal", "url": URL}
LEAVE: dict[str, Any] = {**PING, "type": "leave"}


def salt(time: int) -> bytes:
    return b"salt of day %d" % (time // DAY_MS)


def pipeline(limit: int = 0) -> Pipeline:
    return Pipeline(SITES, RateLimit(limit), salt)


def request(**changed: Any) -> Sender:
    values = {"origin": "", "agent": PERSON, "address": ADDRESS, "private": False, "time": NOW, **changed}
    return Sender(**values, country=countries[values["address"]])


def accepted(body: object, **changed: Any) -> list[StreamEvent]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return pipeline().from_body(raw, request(**changed))


def event(body: object, **changed: Any) -> StreamEvent:
    (found,) = accepted(body, **changed)
    return found


def refused(body: object, **changed: Any) -> TruycapError:
    with pytest.raises(TruycapError) as caught:
        accepted(body, **changed)
    return caught.value


class TestABody:
    def test_is_one_event_or_an_array_in_order(self) -> None:
        assert [found.kind for found in accepted(VIEW)] == [Kind.PAGEVIEW]
        kinds = [found.kind for found in accepted([LEAVE, VIEW, PING, VOTE])]
        assert kinds == [Kind.LEAVE, Kind.PAGEVIEW, Kind.PING, Kind.RATING]

    def test_may_hold_fields_that_are_not_known_yet(self) -> None:
        assert event({**VIEW, "scroll": {"depth": [1, 2]}}).kind is Kind.PAGEVIEW

    def test_may_have_half_an_emoji(self) -> None:
        """As where a page's title was cut after so many UTF-16 units."""
        text = json.dumps({**VIEW, "title": "Tết 🎉 vui \ud83c"})
        assert "\\ud83c" in text
        assert event(text.encode()).title == "Tết 🎉 vui ?"
        assert [found.title for found in accepted(f"[{text}, {json.dumps(VIEW)}]".encode())] == ["Tết 🎉 vui ?", ""]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"[",
            b"{",
            b'{"type":"ping"',
            b"hello",
            b"\xff\xfe",
            json.dumps(VIEW).encode() + b" {}",
            b"\x00",
            b"id=1",
            b'{"type":"\xff"}',
            b'{"title":"\\ud83d"',
            b'{"title":"\\ud83d", "\xff":1}',
        ],
    )
    def test_that_is_no_json_gets_400(self, body: bytes) -> None:
        error = refused(body)
        assert (type(error), error.status) == (NotJSONError, 400)
        assert "not JSON" in error.message

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (None, "expected `object | array`"),
            (5, "expected `object | array`"),
            ([5], "[0]: expected `object`"),
            ([[VIEW]], "[0]: expected `object`"),
            ([], "array is empty"),
            ({}, "type: required"),
            ({**VIEW, "type": "click"}, "type: invalid value 'click'"),
            ({**VIEW, "type": 1}, "type: expected `str`"),
            *[({k: v for k, v in VIEW.items() if k != key}, f"{key}: required") for key in ("site", "id", "url")],
            *[({k: v for k, v in VOTE.items() if k != key}, f"{key}: required") for key in ("id", "item", "score")],
            ({k: v for k, v in PING.items() if k != "url"}, "url: required"),
            ({**VIEW, "site": 5}, "site: expected `str`, got `int`"),
            ({**VIEW, "site": ""}, "site: expected `str` of length >= 1"),
            ({**VIEW, "site": "s" * 64}, "site: expected `str` of length <= 63"),
            ({**VIEW, "id": "not-a-uuid"}, "id: invalid UUID"),
            ({**VIEW, "url": ""}, "url: expected `str` of length >= 1"),
            ({**VIEW, "url": "u" * 32_769}, "url: expected `str` of length <= 32768"),
            ({**VIEW, "referrer": "r" * 32_769}, "referrer: expected `str` of length <= 32768"),
            ({**VIEW, "visitor": "v" * 129}, "visitor: expected `str` of length <= 128"),
            ({**VIEW, "member": "yes"}, "member: invalid enum value 'yes'"),
            ({**VIEW, "attempt": -1}, "attempt: expected `int` >= 0"),
            ({**VIEW, "attempt": 65536}, "attempt: expected `int` <= 65535"),
            ({**VOTE, "score": 0}, "score: expected `int` >= 1"),
            ({**VOTE, "score": 6}, "score: expected `int` <= 5"),
            ({**VOTE, "score": 4.5}, "score: expected `int`, got `float`"),
            ({**VOTE, "score": 10**30}, "score: expected `int` <= 5"),
            ({**VOTE, "voter": None}, "voter: expected `str`, got `null`"),
            ([VIEW, {**VOTE, "score": 9}], "[1].score: expected `int` <= 5"),
            ([VIEW, PING, {"type": "ping", "site": "portal"}], "[2].url: required"),
        ],
    )
    def test_with_a_wrong_field_gets_422_and_the_field(self, body: object, field: str) -> None:
        error = refused(body)
        assert (type(error), error.status) == (InvalidError, 422)
        assert error.message.lower().startswith(field.lower()) or "array is empty" in error.message

    @pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000])
    def test_with_a_number_beyond_all_bounds_gets_422(self, number: bytes) -> None:
        body = json.dumps(VOTE).encode().replace(b"5}", number + b"}")
        assert refused(body).message.startswith("score: ")

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_that_is_nested_deeply_is_refused(self, opening: bytes) -> None:
        body = json.dumps(PING).encode()[:-1] + b',"extra":' + opening * 200_000
        error = refused(body)
        assert (error.status, "nested" in error.message) == (422, True)

    def test_holds_at_most_500_events(self) -> None:
        assert len(accepted([PING] * 500)) == 500
        error = refused([PING] * 501)
        assert (type(error), error.status) == (TooLargeError, 413)
        assert "501" in error.message
        assert "500" in error.message

    def test_is_accepted_whole_or_not_at_all(self) -> None:
        assert refused([VIEW, {**VIEW, "site": "nowhere"}]).status == 404

    @given(st.binary() | st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists).map(json.dumps))
    @example('{"type":"ping","site":"other","url":"\\ud800"}')
    @example('{"type":"ping","site":"other","url":"https://\\udfff\\ud800/"}')
    def test_of_any_bytes_raises_nothing_else(self, body: bytes | str) -> None:
        with pytest.raises(TruycapError) as caught:
            accepted(body.encode() if isinstance(body, str) else body)
        assert caught.value.status in (400, 413, 422)


ANY_TEXT = st.text(max_size=100) | st.text("/%?#:@[]\x00 a.éế", max_size=12)
ANY_EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["pageview", "rating", "ping", "leave"]),
        "site": st.just("other"),
        "id": st.uuids().map(str),
        "url": ANY_TEXT.map("https://host.example/{}".format),
        "item": ANY_TEXT.filter(bool),
        "score": st.integers(1, 5),
    },
    optional=dict.fromkeys(["referrer", "title", "visitor", "voter"], ANY_TEXT),
)


@given(st.lists(ANY_EVENT, min_size=1, max_size=3), ANY_TEXT, ANY_TEXT, ANY_TEXT, st.booleans())
def test_whatever_is_accepted_fits_the_stream(
    events: list[dict[str, Any]], origin: str, agent: str, address: str, private: bool
) -> None:
    found = accepted(events, origin=origin, agent=agent, address=address, private=private)
    assert decode_entry(Entry(EntryId(1, 0), as_read(encode_entry(found)))) == found


class TestAnEvent:
    def test_of_a_page_view_has_all_that_is_counted(self) -> None:
        found = event(
            {**VIEW, "referrer": "https://Search.example:8080/?q=x", "title": "Tin", "member": True, "attempt": 2}
        )
        assert found == StreamEvent(
            kind=Kind.PAGEVIEW,
            source=Source.LIVE,
            site="portal",
            time=NOW,
            id=UUID(ID).bytes,
            visitor=found.visitor,
            item="/tin-tuc/",
            member=True,
            attempt=2,
            referrer="search.example",
            title="Tin",
            agent=PERSON,
            country="US",
        )

    def test_of_a_vote_has_item_and_score(self) -> None:
        found = event({**VOTE, "item": "/tin%2dtuc/?p=2", "attempt": 1})
        assert (found.kind, found.item, found.score, found.attempt) == (Kind.RATING, "/tin-tuc/", 5, 1)
        assert found.id == UUID(ID).bytes

    @pytest.mark.parametrize(("body", "kind"), [(PING, Kind.PING), (LEAVE, Kind.LEAVE)])
    def test_of_presence_has_no_id(self, body: dict[str, Any], kind: Kind) -> None:
        found = event({**body, "member": True})
        assert (found.kind, found.id, found.item, found.member) == (kind, b"", "/tin-tuc/", True)

    @pytest.mark.parametrize(
        ("referrer", "kept"),
        [
            ("https://portal.example.vn/other", ""),
            ("https://PORTAL.example.vn:444/", ""),
            ("https://localhost/", ""),
            ("", ""),
            ("http://[", ""),
            ("android-app://com.zalo/", "com.zalo"),
        ],
    )
    def test_has_the_referring_host_but_not_its_own(self, referrer: str, kept: str) -> None:
        assert event({**VIEW, "referrer": referrer}).referrer == kept

    @pytest.mark.parametrize("address", ["203.0.113.77", "2001:db8:77::77"])
    @pytest.mark.parametrize("body", [VIEW, VOTE, PING, LEAVE], ids=lambda body: body["type"])
    def test_holds_no_address(self, body: dict[str, Any], address: str) -> None:
        for changed in ({}, {"private": True}):
            assert address.encode() not in encode_entry([event(body, address=address, **changed)]).events


@pytest.mark.parametrize("url", ["/tin", "javascript:alert(1)", "file:///etc/passwd", "https:///tin", "https://[::1/x"])
def test_a_url_is_a_pages_address(url: str) -> None:
    error = refused({**VIEW, "site": "other", "url": url})
    assert (error.status, error.message.split(":")[0]) == (422, "url")


class TestAnOrigin:
    @pytest.mark.parametrize(
        ("site", "origin", "url", "allowed"),
        [
            ("portal", "https://portal.example.vn", URL, True),
            ("portal", "http://PORTAL.Example.VN:8443", "http://PORTAL.example.vn:81/", True),
            ("portal", "http://localhost:3000", URL, True),
            ("portal", "", URL, True),
            ("portal", "null", URL, True),  # a sandboxed frame, a file
            ("portal", "https://evil.example", URL, False),
            ("portal", "https://portal.example.vn.evil.example", URL, False),
            ("portal", "https://www.portal.example.vn", URL, False),
            ("portal", "https://portal.example.vn@evil.example", URL, False),
            ("portal", "nonsense", URL, False),
            ("portal", "https://portal.example.vn", "https://evil.example/", False),
            ("portal", "", "https://evil.example/", False),
            ("other", "https://anything.example", "https://evil.example/", True),
        ],
    )
    def test_must_be_a_host_of_the_site_as_must_the_pages_own_url(
        self, site: str, origin: str, url: str, allowed: bool
    ) -> None:
        for body in (VIEW, PING, LEAVE):
            if allowed:
                event({**body, "site": site, "url": url}, origin=origin)
            else:
                error = refused({**body, "site": site, "url": url}, origin=origin)
                assert (type(error), error.status) == (OriginNotAllowedError, 403)
                assert "'portal'" in error.message
                assert "hostnames" in error.message

    def test_decides_alone_for_a_vote(self) -> None:
        assert event(VOTE, origin="https://portal.example.vn").score == 5
        assert refused(VOTE, origin="https://evil.example").status == 403

    def test_of_one_event_of_many_refuses_all(self) -> None:
        assert refused([VIEW, {**VIEW, "url": "https://evil.example/"}]).message.startswith("url: 'evil.example'")


def test_an_unknown_site_gets_404_with_its_name() -> None:
    error = refused({**VIEW, "site": "nowhere"})
    assert (type(error), error.status) == (UnknownSiteError, 404)
    assert "'nowhere'" in error.message


class TestAVisitor:
    def test_is_the_trackers_id_wherever_it_comes_from(self) -> None:
        first = event({**VIEW, "visitor": "abc"})
        second = event({**VIEW, "visitor": "abc"}, address="192.0.2.1", agent="other", time=NOW + 5 * DAY_MS)
        assert first.visitor == second.visitor
        assert first.visitor == event({**PING, "visitor": "abc"}).visitor == event({**VOTE, "voter": "abc"}).visitor
        assert first.visitor != event({**VIEW, "visitor": "abd"}).visitor

    def test_without_an_id_is_a_hash_of_address_agent_and_day(self) -> None:
        first = event(VIEW)
        assert event(VIEW, time=NOW + 1).visitor == first.visitor
        others = [event(VIEW, address="192.0.2.1"), event(VIEW, agent="other"), event(VIEW, time=NOW + DAY_MS)]
        assert len({first.visitor, *(other.visitor for other in others)}) == 4

    @pytest.mark.parametrize("fields", [{}, {"visitor": "abc"}])
    def test_is_another_on_another_site(self, fields: dict[str, str]) -> None:
        assert event({**VIEW, **fields}).visitor != event({**VIEW, **fields, "site": "other"}).visitor

    @pytest.mark.parametrize("body", [{**VIEW, "visitor": "abc"}, {**VOTE, "voter": "abc"}])
    def test_who_wants_no_tracking_is_a_hash_only(self, body: dict[str, Any]) -> None:
        anonymous = {key: value for key, value in body.items() if key not in ("visitor", "voter")}
        assert event(body, private=True).visitor == event(anonymous).visitor != event(body).visitor

    def test_is_a_number_of_64_bits(self) -> None:
        visitors = {event({**VIEW, "visitor": str(number)}).visitor for number in range(200)}
        assert len(visitors) == 200
        assert max(visitors).bit_length() == 64


class TestTheRateLimit:
    def test_counts_the_events_of_an_address_in_a_minute(self) -> None:
        limited = pipeline(limit=5)
        body = json.dumps([PING] * 3).encode()
        limited.from_body(body, request())
        with pytest.raises(TooManyError) as caught:
            limited.from_body(body, request(time=NOW + 17_500))
        assert (caught.value.status, dict(caught.value.headers)) == (429, {"retry-after": "43"})
        assert "5 events" in caught.value.message
        assert len(limited.from_body(body, request(address="192.0.2.1"))) == 3
        assert len(limited.from_body(json.dumps([PING] * 2).encode(), request())) == 2

    @pytest.mark.parametrize("elapsed_ms", [0, 1, 999, 1000, 59_000, 59_001, 59_999])
    def test_is_over_after_the_time_that_it_names(self, elapsed_ms: int) -> None:
        limit = RateLimit(1)
        now = NOW // 60_000 * 60_000 + elapsed_ms
        limit("a", 1, now)
        with pytest.raises(TooManyError) as caught:
            limit("a", 1, now)
        assert 1 <= (caught.value.retry_after or 0) <= 60
        limit("a", 1, now + 1000 * (caught.value.retry_after or 0))

    def test_of_zero_is_none(self) -> None:
        RateLimit(0)("a", 10**9, NOW)
