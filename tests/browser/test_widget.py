"""The elements, in a real Chromium: what they show, how they keep live, what they do when something fails."""

import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from services.api.labels import LINES, ONLINE, VISITS, format_number, lines
from shared.sites import Language
from tests.browser.conftest import CHANGED, Reader
from tests.support.portal import Portal
from tests.support.truycap import Up

BLOCK = "<truycap-counter></truycap-counter>"
HIDE = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"


def line(page: Page, key: str) -> Any:
    """The number of a line of the block."""
    return page.locator(f"truycap-counter [part={key}] dd")


def streams(up: Up) -> int:
    """How many streams are open."""
    with urllib.request.urlopen(f"{up.url}/metrics", timeout=5) as answer:
        return int(float(re.findall(r"^truycap_live_clients (\S+)$", answer.read().decode(), re.MULTILINE)[0]))


class TestTheBlock:
    def test_shows_its_lines_and_is_live(self, readers: Callable[..., Reader]) -> None:
        reader, other = readers(), readers()
        page = reader.open("/bai", BLOCK, "widget.js")
        expect(line(page, "online")).to_have_text("1")
        other.open("/khac")
        expect(line(page, "online")).to_have_text("2")
        expect(line(page, "total")).to_have_text("2")
        expect(page.locator("truycap-counter dt:visible")).to_have_text(
            ["Đang truy cập", "Hôm nay", "Tháng hiện tại", "Tổng lượt truy cập"]
        )

    def test_takes_one_request_for_counting_and_one_for_numbers_as_they_change(self, reader: Reader) -> None:
        asked: list[str] = []
        page = reader.context.new_page()
        page.on("request", lambda request: asked.append(request.url.removeprefix(reader.up.url).partition("?")[0]))
        page.goto(reader.add("/bai", BLOCK, "widget.js"))
        expect(line(page, "total")).to_have_text("1")
        site = f"/v1/sites/{reader.site}"
        loaded = sorted(path for path in asked if path.startswith("/"))
        assert loaded == sorted(
            ["/widget.js", "/v1/events", f"{site}/counter.html", "/w/counter.js", "/w/.js", f"{site}/live"]
        )

    def test_that_is_not_live_asks_once(self, reader: Reader) -> None:
        page = reader.open("/bai", '<truycap-counter live="false"></truycap-counter>', "widget.js")
        expect(line(page, "online")).to_be_visible()
        reader.pause(1)
        page.evaluate("url => new BroadcastChannel(url).postMessage({})", f"{reader.up.url}/v1/sites/{reader.site}/")
        reader.wait_until(lambda: streams(reader.up) == 0, "no stream")

    @pytest.mark.parametrize(
        ("attributes", "labels"),
        [
            ('lang="en"', ["Online", "Today", "This month", "Total"]),
            ('lang="en-GB" lines="total yesterday"', ["Total", "Yesterday"]),
            ('lines="online week year" theme="minimal"', ["Đang truy cập", "Tuần hiện tại", "Năm hiện tại"]),
            ('theme="odometer" lines="today"', ["Hôm nay"]),
        ],
    )
    def test_obeys_its_attributes(self, reader: Reader, attributes: str, labels: list[str]) -> None:
        page = reader.open("/bai", f"<truycap-counter {attributes}></truycap-counter>", "widget.js")
        expect(page.locator("truycap-counter dt:visible")).to_have_text(labels)

    def test_speaks_the_pages_language(self, reader: Reader) -> None:
        page = reader.context.new_page()
        url = reader.add("/bai", BLOCK, "widget.js")
        reader.portal.pages["/bai"] = reader.portal.pages["/bai"].replace("lang=vi", "lang=en-US")
        page.goto(url)
        expect(page.locator("truycap-counter b")).to_have_text("Statistics")

    def test_says_in_the_console_what_is_wrong_with_it(self, reader: Reader) -> None:
        bodies = ['<truycap-counter lines="todya"></truycap-counter>', '<truycap-counter theme="x"></truycap-counter>']
        page = reader.open("/bai", "".join(bodies), "widget.js")
        reader.wait_until(lambda: any("'todya' is unknown" in text for text in reader.console), "a line")
        reader.wait_until(lambda: any("w/x.js" in text for text in reader.console), "another line")
        assert page.locator("truycap-counter").first.inner_text() == ""

    def test_comes_to_elements_that_are_made_later_and_stays_when_they_move(self, reader: Reader) -> None:
        page = reader.open("/bai", "<main></main><aside></aside>", "widget.js")
        page.evaluate("document.querySelector('main').append(document.createElement('truycap-counter'))")
        expect(line(page, "total")).to_be_visible()
        page.evaluate("document.querySelector('aside').append(document.querySelector('truycap-counter'))")
        expect(line(page, "total")).to_be_visible()
        reader.wait_until(lambda: streams(reader.up) == 1, "one stream")

    def test_is_one_where_the_snippet_was_pasted_twice(self, reader: Reader) -> None:
        page = reader.open("/bai", BLOCK + reader.script("widget.js"), "widget.js")
        expect(line(page, "total")).to_have_text("1")
        page.evaluate("history.pushState({}, '', '/bai/hai')")
        reader.expect_views(2)

    @pytest.mark.parametrize("language", ["vi", "en"])
    def test_follows_the_servers_rule_and_format_when_numbers_change(self, reader: Reader, language: Language) -> None:
        cases = [(3, 3, 0, 0), (3, 0, 3, 0), (3, 0, 0, 3), (6, 3, 2, 1), (0, 0, 0, 0), (8390768, 8390767, 0, 1)]
        visits = {key: number for number, key in enumerate(VISITS, 1234)}
        pages = [
            {
                "online": {"total": total, "guests": guests, "members": members, "bots": bots},
                "visits": {**visits, "today": case},
            }
            for case, (total, guests, members, bots) in enumerate(cases)
        ]
        keys = (*ONLINE, *VISITS)
        page = reader.context.new_page()
        page.route(re.compile("/live$"), lambda _: None)
        page.goto(
            reader.add(
                "/bai", f'<truycap-counter lang={language} lines="{" ".join(keys)}"></truycap-counter>', "widget.js"
            )
        )
        expect(line(page, "total")).to_be_visible()
        url = f"{reader.up.url}/v1/sites/{reader.site}/"
        for counts in pages:
            page.evaluate("([url, counts]) => new BroadcastChannel(url).postMessage(counts)", [url, counts])
            expect(line(page, "today")).to_have_text(str(counts["visits"]["today"]))
            shown = page.locator("truycap-counter dl > :visible")
            wanted = [it for it in lines(counts, language, keys) if not it.hidden]
            expect(shown).to_have_text([it.label + it.number for it in wanted])

    def test_moves_nothing_when_it_changes(self, readers: Callable[..., Reader]) -> None:
        reader, other = readers(), readers()
        room = "<style>truycap-counter { display: block; width: 220px; min-height: 250px }</style>"
        watch = """<script>
            window.shift = 0;
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => { shift += entry.value }))
              .observe({ type: 'layout-shift', buffered: true });
        </script>"""
        page = reader.open("/bai", f"{watch}{room}{BLOCK}<p>Sau khối</p>", "widget.js")
        expect(line(page, "online")).to_have_text("1")
        other.open("/khac")
        expect(line(page, "online")).to_have_text("2")
        reader.pause(0.5)
        assert page.evaluate("shift") == 0


class TestLive:
    def test_two_tabs_share_one_stream_and_the_other_takes_over(self, readers: Callable[..., Reader]) -> None:
        reader, other = readers(), readers()
        first, second = reader.open("/a", BLOCK, "widget.js"), reader.open("/b", BLOCK, "widget.js")
        expect(line(second, "online")).to_have_text("1")
        other.open("/c")
        for page in (first, second):
            expect(line(page, "online")).to_have_text("2")
        reader.wait_until(lambda: streams(reader.up) == 1, "one stream")
        first.close()
        readers().open("/d")
        expect(line(second, "total")).to_have_text("3")
        reader.wait_until(lambda: streams(reader.up) == 1, "one stream")

    def test_hidden_pages_have_no_stream(self, reader: Reader) -> None:
        page = reader.open("/bai", BLOCK, "widget.js")
        reader.wait_until(lambda: streams(reader.up) == 1, "a stream")
        page.evaluate(HIDE % "true" + CHANGED)
        reader.wait_until(lambda: streams(reader.up) == 0, "no stream")
        page.evaluate(HIDE % "false" + CHANGED)
        reader.wait_until(lambda: streams(reader.up) == 1, "a stream again")

    @pytest.mark.parametrize("how", ["refused", "cut", "silent"])
    def test_where_streams_are_cut_off_it_asks_now_and_then(self, readers: Callable[..., Reader], how: str) -> None:
        reader, other = readers(), readers()
        page = reader.context.new_page()

        def break_off(route: Route) -> None:
            if how == "refused":
                route.fulfill(status=502, body="")
            elif how == "cut":
                route.abort()
            # A silent one stays open and says nothing.

        page.route(re.compile("/live$"), break_off)
        page.goto(reader.add("/bai", BLOCK, "widget.js"))
        expect(line(page, "online")).to_be_visible()
        other.open("/khac")
        expect(line(page, "online")).to_have_text("2", timeout=20_000)

    def test_on_plain_http_without_locks(self, readers: Callable[..., Reader]) -> None:
        reader, other = readers(), readers()
        reader.context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })")
        page = reader.open("/bai", BLOCK, "widget.js")
        expect(line(page, "online")).to_have_text("1")
        for hidden in ("true", "false") * 5:
            page.evaluate(HIDE % hidden + CHANGED)
        other.open("/khac")
        expect(line(page, "online")).to_have_text("2")
        reader.wait_until(lambda: streams(reader.up) == 1, "one stream")

    def test_looking_away_and_back_makes_it_ask_no_more_often(self, reader: Reader) -> None:
        asked: list[str] = []

        def refuse(route: Route) -> None:
            asked.append(route.request.url)
            route.abort()

        reader.context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })")
        page = reader.context.new_page()
        page.route(re.compile("/(live|counts)$"), refuse)
        page.goto(reader.add("/bai", BLOCK, "widget.js"))
        expect(line(page, "online")).to_be_visible()
        for hidden in ("true", "false") * 10:
            page.evaluate(HIDE % hidden + CHANGED)
        asked.clear()
        reader.pause(6)
        assert len(asked) <= 16, asked

    def test_in_a_sandbox(self, readers: Callable[..., Reader]) -> None:
        reader, other = readers(), readers()
        inner = reader.add("/trong", BLOCK, "widget.js")
        page = reader.context.new_page()
        page.goto(reader.portal.add("/ngoai", f'<iframe sandbox="allow-scripts" src="{inner}"></iframe>'))
        online = page.frame_locator("iframe").locator("truycap-counter [part=online] dd")
        expect(online).to_have_text("1")
        other.open("/khac")
        expect(online).to_have_text("2")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    """A truycap that a test may end."""
    config = tmp_path / "truycap.toml"
    config.write_text(
        '[[site]]\nid = "a"\nhostnames = ["127.0.0.1"]\n\n[[site]]\nid = "b"\nhostnames = ["*"]\npublic = false\n',
        "utf-8",
    )
    with Up(tmp_path / "data", "--config", str(config)) as up:
        yield up


def test_while_the_server_is_down_it_shows_the_last_numbers_and_loses_no_page_view(
    own: Up, portal: Portal, chromium: Browser
) -> None:
    reader = Reader(own, portal, "a", chromium)
    page = reader.open("/bai", f"{BLOCK}<truycap-rating></truycap-rating>", "widget.js")
    expect(line(page, "total")).to_have_text("1")
    own.kill()
    page.evaluate("history.pushState({}, '', '/bai/hai')")
    page.locator("truycap-rating").get_by_role("radio").nth(3).click()
    expect(page.locator("truycap-rating output")).to_have_text("Chưa lưu được, sẽ gửi lại sau", use_inner_text=True)
    expect(line(page, "total")).to_have_text("1")
    reader.pause(2)
    own.start()
    assert reader.counts()["pageviews"]["total"] == 1
    page.evaluate("dispatchEvent(new Event('online'))")
    reader.wait_until(lambda: reader.counts()["pageviews"]["total"] == 2, "the page view")
    reader.wait_until(lambda: reader.item("/bai")["rating"]["points"] == 4, "the vote")
    expect(line(page, "total")).to_have_text("1")
    other = Reader(own, portal, "a", chromium)
    other.open("/khac")
    expect(line(page, "total")).to_have_text("2", timeout=20_000)
    reader.context.close()
    other.context.close()
    assert (reader.problems, other.problems) == ([], [])


def test_numbers_that_are_not_public_stay_away_and_one_line_says_why(
    own: Up, portal: Portal, chromium: Browser
) -> None:
    reader = Reader(own, portal, "b", chromium)
    page = reader.open("/bai", BLOCK, "widget.js")
    reader.wait_until(lambda: any("not public" in text for text in reader.console), "a line")
    reader.pause(2)
    said = [text for text in reader.console if "Failed to load resource" not in text]
    assert len(said) == 1, said
    assert page.locator("truycap-counter").inner_text() == ""
    reader.context.close()


def test_a_page_that_may_not_count_shows_public_numbers(reader: Reader) -> None:
    page = reader.context.new_page()
    page.goto(reader.add("/la", BLOCK, "widget.js").replace("127.0.0.1", "localhost"))
    expect(line(page, "total")).to_have_text("0")
    said = [text for text in reader.console if "Failed to load resource" not in text]
    assert len(said) == 1, said
    assert "'localhost' may not count" in said[0]


def test_views_count_this_reader_and_roll_in_the_odometer(reader: Reader) -> None:
    page = reader.open("/tin", '<truycap-views theme="odometer"></truycap-views>', "widget.js")
    expect(page.locator("truycap-views data")).to_have_text("1")
    expect(page.locator("truycap-views i").first).to_have_text("1")
    expect(page.locator("truycap-views")).to_contain_text("lượt xem")


def test_the_odometer_rolls_the_digits_that_change_and_is_read_as_a_number(reader: Reader) -> None:
    page = reader.open("/bai", '<truycap-counter theme="odometer"></truycap-counter>', "widget.js")
    expect(line(page, "total")).to_have_text("1")
    counts = {"online": {"total": 1, "guests": 1, "members": 0, "bots": 0}, "visits": dict.fromkeys(VISITS, 1234)}
    say = "([url, counts]) => new BroadcastChannel(url).postMessage(counts)"
    url = f"{reader.up.url}/v1/sites/{reader.site}/"
    for number, rolled in ((1234, None), (1284, ["8"])):
        page.evaluate(say, [url, {**counts, "visits": dict.fromkeys(VISITS, number)}])
        expect(line(page, "total")).to_have_text(format_number(number, "vi"))
        digits = page.locator("truycap-counter [part=total] i a")
        expect(digits).to_have_text(list(format_number(number, "vi")))
        if rolled:
            expect(page.locator("truycap-counter [part=total] i .new")).to_have_text(rolled)
    assert page.locator("truycap-counter [part=total] i[aria-hidden=true]").count() == 1
    assert len(LINES) == page.locator("truycap-counter dd").count()
