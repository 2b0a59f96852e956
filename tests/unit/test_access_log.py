"""Access logs: what a line says, which lines are page views, and that a second import is the same as the first."""

import gzip
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.importer import access_log
from services.importer.access_log import Dropped, LogLine, Reason, events, parse_line, read_lines, salt_of, why_dropped
from shared.errors import SetupError
from shared.events import Kind, Source, StreamEvent
from shared.sites import Site
from shared.streams import encode_entry

SAMPLE = Path(__file__).parents[1] / "data/access_log_sample.gz"
SITE = Site(id="portal", hostnames=["Portal.example.vn", "*"])
ANY_TEXT = st.text(st.characters())  # with lone surrogates


def log_line(
    target: str = "/tin/",
    *,
    address: str = "192.0.2.1",
    time: str = "17/May/2015:10:05:03 +0000",
    request: str = "",
    status: int = 200,
    referrer: str = "-",
    agent: str = "Firefox",
) -> str:
    request = request or f"GET {target} HTTP/1.1"
    return f'{address} - - [{time}] "{request}" {status} 512 "{referrer}" "{agent}"'


def parsed(line: str) -> LogLine:
    found = parse_line(line)
    assert found is not None
    return found


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def page_views(lines: Iterable[str], site: Site = SITE, salt: bytes = b"salt") -> list[StreamEvent]:
    return [event for event in events(lines, site, salt) if isinstance(event, StreamEvent)]


def page_view(line: str, site: Site = SITE, salt: bytes = b"salt") -> StreamEvent:
    (event,) = page_views([line], site, salt)
    return event


class TestALine:
    def test_has_these_fields(self) -> None:
        line = log_line("/tin/?p=1", referrer="https://a.example/", agent="Mozilla/5.0 (X11)")
        assert parse_line(line + "\n") == LogLine(
            "192.0.2.1", ms("2015-05-17T10:05:03Z"), "GET", "/tin/?p=1", 200, "https://a.example/", "Mozilla/5.0 (X11)"
        )

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("17/May/2015:10:05:03 +0700", "2015-05-17T03:05:03Z"),
            ("17/May/2015:00:10:00 +0530", "2015-05-16T18:40:00Z"),
            ("31/Dec/2015:22:00:00 -0330", "2016-01-01T01:30:00Z"),
            ("29/Feb/2024:12:00:00 +0000", "2024-02-29T12:00:00Z"),
            ("31/Dec/2016:23:59:60 +0000", "2016-12-31T23:59:59Z"),  # a leap second
        ],
    )
    def test_honours_the_offset_of_its_time(self, written: str, meant: str) -> None:
        assert parsed(log_line(time=written)).time == ms(meant)

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            (r"a \"quoted\" word", 'a "quoted" word'),
            (r"back\\slash\\", "back\\slash\\"),
            (r"tab\tline\n", "tab\tline\n"),
            (r"\x22nginx\x22", '"nginx"'),
            (r"ti\xe1\xba\xbfng Vi\xe1\xbb\x87t", "tiếng Việt"),
            ("tiếng Việt", "tiếng Việt"),
            (r"\xe4 is not UTF-8", "\ufffd is not UTF-8"),
            ("-", ""),
            ("", ""),
        ],
    )
    def test_holds_escaped_fields(self, written: str, meant: str) -> None:
        line = parsed(log_line(referrer=written, agent=written))
        assert (line.referrer, line.agent) == (meant, meant)

    @pytest.mark.parametrize("target", ["/caf\\xe9", "/caf\udce9", "/caf%E9"])
    def test_names_one_item_however_its_bytes_are_written(self, target: str) -> None:
        assert page_view(log_line(target)).item == "/caf%E9"

    def test_may_have_an_ipv6_address(self) -> None:
        assert parsed(log_line(address="2001:db8::a1")).address == "2001:db8::a1"

    def test_may_have_a_user_with_spaces_and_brackets(self) -> None:
        user = "an [1/Jan/2000:00:00:00 +0000] other"
        assert parsed(log_line().replace("- - ", f"- {user} ")).time == ms("2015-05-17T10:05:03Z")

    def test_may_have_more_fields_at_its_end(self) -> None:
        assert parsed(log_line(agent="nginx main") + ' "198.51.100.1"').agent == "nginx main"

    @pytest.mark.parametrize(
        ("request_line", "method", "target"),
        [
            ("GET /a b HTTP/1.0", "GET", "/a%20b"),
            ("GET /old", "GET", "/old"),
            ("GET / HTTP/2", "GET", "/"),
            ("-", "", ""),
            (r"\x16\x03\x01", "\x16\x03\x01", ""),
        ],
    )
    def test_may_have_an_odd_request(self, request_line: str, method: str, target: str) -> None:
        line = parsed(log_line(request=request_line))
        assert (line.method, line.target) == (method, target)

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "Jan  1 00:00:00 host sshd[1]: a line of another log",
            log_line()[:-1],  # cut off
            log_line(agent='a"b'),
            log_line(time="31/Feb/2015:10:05:03 +0000"),
            log_line(time="17/Mai/2015:10:05:03 +0000"),
            log_line(time="17/May/2015:24:00:00 +0000"),
            log_line(time="17/May/0015:10:05:03 +0000"),
            log_line(time="17/May/2150:10:05:03 +0000"),
            log_line(agent="\ud800"),
        ],
    )
    def test_is_not_parsed_where_it_is_broken(self, line: str) -> None:
        assert parse_line(line) is None

    @given(ANY_TEXT)
    def test_of_any_text_never_raises(self, text: str) -> None:
        parse_line(text)

    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.from_regex(r"[0-9]{2}/May/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}", fullmatch=True))
    def test_of_any_fields_gives_an_event_for_the_stream_or_a_reason(
        self, target: str, referrer: str, agent: str, time: str
    ) -> None:
        for line in (
            log_line("/" + target, address=agent or "-", referrer=f"http://{referrer}", agent=agent),
            log_line(time=time),
        ):
            (found,) = events([line], SITE, b"salt")
            if isinstance(found, StreamEvent):
                encode_entry([found])


class TestAPageView:
    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "//",
            "/tin-tuc",
            "/tin-tuc/le-hoi-12.html",
            "/tin-tuc/le-hoi.xhtml",
            "/index.php?nv=news&op=detail",
            "/portal.aspx",
            "/chuyen-de/van-hoa.vnp",  # extensions of Vietnamese portals
            "/kinh-te.chn",
            "/user/john.doe",
            "/ubuntu-24.04",
            "/files/?C=D;O=D",
            "/trang.jsp;jsessionid=A1.node1",
            "/xem?file=anh.png",
            "/images/",
            "/le-hoi.html?source=rss20",  # came from a feed
            "/rss/huong-dan.html",
            "/tim?type=feedback",
            "/" + "a" * 2047,
        ],
    )
    def test_is_a_successful_get_of_a_page(self, target: str) -> None:
        assert why_dropped(parsed(log_line(target))) is None
        assert why_dropped(parsed(log_line(target, status=206))) is None

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("no access log's line", Reason.UNPARSABLE),
            *[(log_line(request=f"{method} / HTTP/1.1"), Reason.NOT_GET) for method in ("HEAD", "POST", "get")],
            (log_line(request="-", status=408), Reason.NOT_GET),
            *[(log_line(status=status), Reason.NOT_SUCCESSFUL) for status in (101, 301, 304, 404, 500)],
            *[
                (log_line(target), Reason.FEED)
                for target in (
                    "/feed",
                    "/blog/feed/",
                    "/rss",
                    "/RSS/",
                    "/tin/atom",
                    "/tin.rss",
                    "/tin.atom",
                    "/tin.rdf",
                    "/index.xml",
                    "/blog/atom.xml",
                    "/rss.xml?page=2",
                    "/feed/rss2/",
                    "/vi/news/rss/su-kien/",
                    "/blog/tags/puppet?flav=rss20",
                    "/?flav=atom",
                    "/?feed=comments-rss2",
                    "/index.php?format=feed&type=rss",
                    "/index.php?nv=news&op=rss/su-kien",
                    "/index.php?nv=news&op=rss%2Fsu-kien",
                )
            ],
            *[
                (log_line(target), Reason.NOT_A_PAGE)
                for target in (
                    "/logo.png",
                    "/LOGO.PNG",
                    "/logo%2epng",
                    "/a.b/style.css?v=1",
                    "/app.js;v=3",
                    "//favicon.ico",
                    "/font.woff2",
                    "/robots.txt",
                    "/sitemap.xml",
                    "/sitemap.xml.gz",
                    "/van-ban.pdf",
                    "/phim.mp4",
                    "/ScriptResource.axd?d=1",
                    "/.well-known/acme-challenge/abc",
                    "http://another.example/",
                    "*",
                    "x",
                )
            ],
            (log_line("/" + "a" * 2048), Reason.TOO_LONG),
            (log_line("/?q=" + "\\xe1" * 700), Reason.TOO_LONG),
        ],
    )
    def test_is_nothing_else_and_the_reason_is_told(self, line: str, reason: Reason) -> None:
        assert list(events([line], SITE, b"salt")) == [Dropped(reason)]

    def test_becomes_an_event_at_its_own_time_and_without_address(self) -> None:
        line = log_line(
            "/tin%2dtuc/?p=1", address="8.8.8.8", referrer="https://Search.example:8080/?q=x", agent="A" * 600
        )
        event = page_view(line)
        assert event == StreamEvent(
            kind=Kind.PAGEVIEW,
            source=Source.IMPORT,
            site="portal",
            time=ms("2015-05-17T10:05:03Z"),
            id=event.id,
            visitor=event.visitor,
            item="/tin-tuc/",
            attempt=1,
            referrer="search.example",
            agent="A" * 512,
            country="US",
        )
        assert "8.8.8.8" not in repr(event)

    @pytest.mark.parametrize(
        "referrer", ["-", "https://portal.example.vn/x", "tin", "http://[", "http://\\xe4.example/"]
    )
    def test_has_no_referrer_where_it_is_the_site_itself_or_no_host(self, referrer: str) -> None:
        assert page_view(log_line(referrer=referrer)).referrer == ""

    def test_keeps_the_referrer_of_a_site_of_any_host(self) -> None:
        anywhere = Site(id="portal", hostnames=["*"])
        assert page_view(log_line(referrer="https://portal.example.vn/x"), anywhere).referrer == "portal.example.vn"

    @pytest.mark.parametrize(
        ("address", "country"),
        [("8.8.8.8", "US"), ("::ffff:8.8.8.8", "US"), ("192.0.2.1", ""), ("2001:db8::1", ""), ("host.example", "")],
    )
    def test_has_the_country_of_its_address(self, address: str, country: str) -> None:
        assert page_view(log_line(address=address)).country == country

    def test_double_slashes_do_not_make_a_host_of_its_path(self) -> None:
        assert page_view(log_line("//tin/moi")).item == "//tin/moi"


class TestAVisitor:
    def test_is_the_same_on_a_day_and_another_by_address_agent_site_day_and_salt(self) -> None:
        same = [log_line("/"), log_line("/tin/", time="17/May/2015:23:59:59 +0000")]
        assert len({event.visitor for event in page_views(same)}) == 1
        first = page_view(log_line()).visitor
        others = {
            page_view(log_line(address="192.0.2.2")).visitor,
            page_view(log_line(agent="Chrome")).visitor,
            page_view(log_line(time="18/May/2015:00:00:00 +0000")).visitor,
            page_view(log_line(), Site(id="other", hostnames=["*"])).visitor,
            page_view(log_line(), salt=b"pepper").visitor,
        }
        assert len({first, *others}) == 6
        assert all(0 <= visitor < 1 << 64 for visitor in others)


class TestAnImport:
    def test_of_identical_lines_counts_each(self) -> None:
        ids = [event.id for event in page_views([log_line()] * 3)]
        assert len(set(ids)) == 3
        assert {UUID(bytes=each).version for each in ids} == {5}

    def test_gives_the_same_events_again(self) -> None:
        assert list(events(read_lines(SAMPLE), SITE, salt_of(SAMPLE))) == list(
            events(read_lines(SAMPLE), SITE, salt_of(SAMPLE))
        )

    def test_of_a_log_that_has_grown_gives_the_old_lines_their_ids(self) -> None:
        lines = [log_line(), log_line(), log_line("/a")]
        grown = {event.id for event in page_views([*lines, log_line(), log_line("/b")])}
        before = {event.id for event in page_views(lines)}
        assert before < grown
        assert len(grown) == 5

    def test_of_another_site_gives_other_ids(self) -> None:
        assert page_view(log_line()).id != page_view(log_line(), Site(id="other", hostnames=["*"])).id

    def test_does_not_depend_on_line_ends(self) -> None:
        assert page_view(log_line() + "\r\n") == page_view(log_line())

    def test_brings_page_views_in_order_of_time(self) -> None:
        lines = [log_line(time=f"17/May/2015:10:05:{second:02} +0000") for second in (3, 1, 2, 0)]
        times = [event.time % 60_000 for event in page_views(lines)]
        assert times == [0, 1000, 2000, 3000]

    def test_loses_nothing_that_is_too_late_for_its_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(access_log, "WINDOW", 1)
        lines = [log_line(time=f"17/May/2015:10:05:{second:02} +0000") for second in (3, 1, 2, 0)]
        assert sorted(event.time % 60_000 for event in page_views(lines)) == [0, 1000, 2000, 3000]

    def test_accounts_for_every_line_of_the_sample(self) -> None:
        found = events(read_lines(SAMPLE), SITE, salt_of(SAMPLE))
        assert Counter(each.reason if isinstance(each, Dropped) else "page view" for each in found) == {
            "page view": 28,
            Reason.NOT_A_PAGE: 14,
            Reason.FEED: 6,
            Reason.NOT_GET: 5,
            Reason.NOT_SUCCESSFUL: 5,
            Reason.TOO_LONG: 1,
            Reason.UNPARSABLE: 1,
        }


class TestAFile:
    def test_is_read_packed_or_not_whatever_its_name(self, tmp_path: Path) -> None:
        plain, packed = tmp_path / "a.gz", tmp_path / "a.log"
        plain.write_text(f"{log_line()}\n\n{log_line('/b')}", "utf-8")
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert list(read_lines(plain)) == list(read_lines(packed)) == [log_line(), log_line("/b")]
        assert salt_of(plain) == salt_of(packed) != salt_of(SAMPLE)
        assert len(salt_of(plain)) == 32

    def test_may_be_empty(self, tmp_path: Path) -> None:
        empty = tmp_path / "access.log"
        empty.touch()
        assert list(read_lines(empty)) == []

    def test_keeps_bytes_that_are_not_utf8(self, tmp_path: Path) -> None:
        log = tmp_path / "access.log"
        log.write_bytes(log_line("/caf\udce9").encode("utf-8", "surrogateescape"))
        assert list(read_lines(log)) == [log_line("/caf\udce9")]

    def test_with_an_endless_line_is_read_in_bounded_memory(self, tmp_path: Path) -> None:
        log = tmp_path / "access.log"
        log.write_text(f"{log_line()}\n{'x' * (2 * access_log.MAX_LINE + 5)}\n{log_line('/b')}\n", "utf-8")
        assert [len(line) for line in read_lines(log)][1] == access_log.MAX_LINE
        assert [event.item for event in page_views(read_lines(log))] == ["/tin/", "/b"]

    def test_tells_how_far_it_is_read(self, tmp_path: Path) -> None:
        log = tmp_path / "access.log"
        log.write_text("".join(f"{log_line(f'/{number}')}\n" for number in range(3000)), "utf-8")
        packed = tmp_path / "access.log.gz"
        packed.write_bytes(gzip.compress(log.read_bytes()))
        for path in (log, packed):
            positions: list[int] = []
            assert sum(1 for _ in read_lines(path, positions.append)) == 3000
            assert len(positions) == 4
            assert positions == sorted(positions)
            assert positions[-1] == path.stat().st_size

    def test_that_is_missing_or_a_folder_is_refused(self, tmp_path: Path) -> None:
        for path, why in ((tmp_path / "no.log", "No such file"), (tmp_path, "Is a directory")):
            for read in (salt_of, lambda path: list(read_lines(path))):
                with pytest.raises(SetupError, match=why) as caught:
                    read(path)
                assert "\n" not in caught.value.message

    @pytest.mark.parametrize("damage", ["cut", "changed", "followed by something else"])
    def test_that_is_damaged_is_refused_before_anything_is_counted(self, tmp_path: Path, damage: str) -> None:
        lines = "".join(f"{log_line(f'/{number * number}')}\n" for number in range(5000))
        packed = bytearray(gzip.compress(lines.encode()))
        if damage == "cut":
            del packed[-500:]
        elif damage == "changed":
            packed[len(packed) // 2 : len(packed) // 2 + 20] = b"\xff" * 20
        else:
            packed += b"something else"
        log = tmp_path / "access.log.gz"
        log.write_bytes(packed)
        for read in (salt_of, lambda path: list(read_lines(path))):
            with pytest.raises(SetupError, match="is a damaged gzip file") as caught:
                read(log)
            assert "\n" not in caught.value.message

    def test_that_is_no_access_log_is_refused(self, tmp_path: Path) -> None:
        log = tmp_path / "notes.txt"
        log.write_text("a line\n" * 100 + log_line(), "utf-8")
        with pytest.raises(SetupError, match="is no access log"):
            next(read_lines(log))

    def test_may_begin_with_broken_lines(self, tmp_path: Path) -> None:
        log = tmp_path / "access.log"
        log.write_text("a line\n" * 99 + log_line(), "utf-8")
        assert len(list(read_lines(log))) == 100
