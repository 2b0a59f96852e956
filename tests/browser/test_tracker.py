"""The tracker's manners, in a real Chromium: each page is counted exactly as often as it was shown."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from services.commands.snippet import snippet
from services.counter.enrich import OVERTAKEN_MS
from tests.browser.conftest import CHANGED, QUIET, Reader, executable, wait_until
from tests.support.counting import PERSON

LEAVES = OVERTAKEN_MS / 1000 + 0.5
"""A leave that comes sooner after a view is taken for one that the view has overtaken."""


def test_a_page_is_counted_once_by_one_request(reader: Reader) -> None:
    reader.open("/tin")
    reader.expect_views(1)
    (event,) = reader.sent
    assert (event["type"], event["title"], event.get("member")) == ("pageview", "/tin", None)
    assert reader.item("/tin")["views"] == 1


def test_a_reload_within_a_second_is_the_same_page_view_a_later_one_another(reader: Reader) -> None:
    page = reader.open()
    page.wait_for_function("window.truycap")
    page.reload()
    page.wait_for_function("window.truycap")
    reader.expect_views(1)
    reader.pause(1)
    page.reload()
    reader.expect_views(2)


def test_another_page_within_a_second_is_another_page_view(reader: Reader) -> None:
    page = reader.open("/a")
    page.wait_for_function("window.truycap")
    page.goto(reader.add("/b"))
    reader.expect_views(2)


def test_an_application_that_moves_is_counted_by_address_without_its_fragment(reader: Reader) -> None:
    page = reader.open("/ung-dung")
    reader.expect_views(1)
    page.evaluate("history.pushState({}, '', '/ung-dung/hai'); document.title = 'Hai'")
    reader.expect_views(2)
    page.evaluate("history.pushState({}, '', '/ung-dung/hai#muc'); location.hash = 'khac'")
    reader.expect_views(2)
    page.evaluate("onpopstate = () => { setTimeout(() => { document.title = 'Một' }) }; history.go(-3)")
    reader.expect_views(3)
    views = reader.of_type("pageview")
    assert [view["url"].rpartition("/")[2] for view in views] == ["ung-dung", "hai", "ung-dung"]
    assert [view["title"] for view in views[1:]] == ["Hai", "Một"]
    assert [view["referrer"] for view in views[1:]] == [views[0]["url"], views[1]["url"]]


def test_a_ping_just_after_an_application_moved_hides_no_page_view(reader: Reader) -> None:
    page = reader.open("/mot")
    reader.expect_views(1)
    page.evaluate("history.pushState({}, '', '/hai'); dispatchEvent(new Event('online'))")
    reader.expect_views(2)
    assert [event["url"].rpartition("/")[2] for event in reader.sent] == ["mot", "hai", "hai"]


def test_an_address_that_is_tidied_is_the_same_page(reader: Reader) -> None:
    page = reader.context.new_page()
    page.goto(reader.add("/tin") + "?fbclid=1")
    reader.expect_views(1)
    page.evaluate("history.replaceState({}, '', '/tin')")
    page.evaluate(CHANGED)
    page.wait_for_timeout(200)
    page.evaluate("location.hash = 'muc'")
    reader.expect_views(1)
    page.evaluate("history.pushState({}, '', '/tin/hai')")
    reader.expect_views(2)


def test_two_sites_on_a_page_count_for_themselves(reader: Reader, sites: Iterator[str]) -> None:
    other = next(sites)
    page = reader.context.new_page()
    second = reader.script().replace(f'"{reader.site}"', f'"{other}"')
    page.goto(reader.portal.add("/chung", reader.script() + second))
    reader.expect_views(1)
    reader.wait_until(
        lambda: reader.up.get(f"/v1/sites/{other}/counts")["pageviews"]["total"] == 1, "the other site's page view"
    )


AGAIN = "<script>onpageshow = (event) => { window.again = event.persisted }</script>"


def go_back(page: Page) -> None:
    """Back to a page that Chromium has kept. Playwright's own go_back waits for a load that there is not."""
    page.evaluate("setTimeout(() => history.back())")
    page.wait_for_function("window.again")


def test_a_page_that_comes_back_from_the_cache_is_counted_again(reader: Reader) -> None:
    page = reader.open("/mot", AGAIN)
    reader.expect_views(1)
    page.goto(reader.add("/hai"))
    reader.expect_views(2)
    reader.pause(0.7)
    go_back(page)
    reader.expect_views(3)


def test_a_block_keeps_no_page_out_of_the_cache_and_is_live_when_it_comes_back(readers: Callable[..., Reader]) -> None:
    reader, other = readers(), readers()
    page = reader.open("/khoi", f"{AGAIN}<truycap-counter></truycap-counter>", "widget.js")
    reader.expect_views(1)
    page.locator("truycap-counter").get_by_text("Hôm nay").wait_for()
    page.goto(reader.add("/hai", "<truycap-counter></truycap-counter>", "widget.js"))
    reader.expect_views(2)
    reader.pause(1)
    go_back(page)
    reader.expect_views(3)
    other.open("/khac")
    online = page.locator("truycap-counter [part=online] dd")
    reader.wait_until(lambda: online.text_content() == "2", "the block is live")


def test_a_prerendered_page_is_counted_when_it_is_shown(reader: Reader, tmp_path: Path) -> None:
    # Chromium prerenders nothing in a tab that is driven from outside, so this one goes its way by itself.
    target = reader.add("/sau", "<script>fetch(`/prerendering?${document.prerendering}`)</script>")
    rules = json.dumps({"prerender": [{"urls": [target], "eagerness": "immediate"}]})
    goes = f"""<script>
      const ask = async () => {{
        if ((await fetch('/go')).ok) location.href = '{target}';
        else setTimeout(ask, 100);
      }};
      ask();
    </script>"""
    source = reader.add("/truoc", f'<script type="speculationrules">{rules}</script>{goes}')
    command = [executable(), "--headless=new", *QUIET, f"--user-data-dir={tmp_path}", f"--user-agent={PERSON}", source]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: "/prerendering?true" in reader.portal.asked, "it is prerendered", 20)
            wait_until(lambda: reader.counts()["pageviews"]["total"] == 1, "the first page is counted")
            time.sleep(1)
            assert reader.item("/sau")["views"] == 0
            reader.portal.add("/go", "")
            wait_until(lambda: reader.item("/sau")["views"] == 1, "the second page is counted")
            time.sleep(1)
            assert reader.counts()["pageviews"]["total"] == 2
        finally:
            process.terminate()
    assert "/prerendering?false" not in reader.portal.asked


def test_a_tab_in_the_background_is_counted_when_it_is_shown(reader: Reader) -> None:
    # A headless browser shows all its tabs, so the page is told that it is hidden.
    reader.context.add_init_script("Object.defineProperty(document, 'hidden', { get: () => !window.front })")
    page = reader.open()
    page.wait_for_function("window.truycap")
    page.evaluate("history.pushState({}, '', '/bai/hai')")
    reader.expect_views(0, visits=0)
    page.evaluate(f"window.front = true; {CHANGED}")
    reader.expect_views(1)
    assert reader.item("/bai/hai")["views"] == 1
    page.evaluate("window.front = false; history.pushState({}, '', '/bai/ba')")
    reader.expect_views(1)
    page.evaluate(f"window.front = true; {CHANGED}")
    reader.expect_views(2)
    assert reader.item("/bai/ba")["views"] == 1


def test_it_pings_while_it_is_visible_and_leaves_when_it_is_closed(reader: Reader) -> None:
    page = reader.context.new_page()
    page.clock.install()
    page.goto(reader.add())
    reader.expect_views(1)
    page.clock.fast_forward(61_000)
    reader.wait_until(lambda: len(reader.of_type("ping")) == 1, "a ping")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.clock.fast_forward(121_000)
    assert len(reader.of_type("ping")) == 1
    assert reader.counts()["online"]["total"] == 1
    reader.pause(LEAVES)
    page.close(run_before_unload=True)
    wait_until(lambda: reader.counts()["online"]["total"] == 0, "nobody online")


def read_two_pages_without_an_id(reader: Reader) -> Page:
    """Two page views of one visit, though the pages say nothing of who reads."""
    page = reader.open("/a")
    page.wait_for_function("window.truycap")
    page.goto(reader.add("/b"))
    reader.expect_views(2)
    assert {event["visitor"] for event in reader.of_type("pageview")} == {""}
    return page


@pytest.mark.parametrize("header", ["sec-gpc", "dnt"])
def test_who_asks_for_privacy_has_no_id(readers: Callable[..., Reader], header: str) -> None:
    reader = readers(extra_http_headers={header: "1"})
    name, value = ("globalPrivacyControl", "true") if header == "sec-gpc" else ("doNotTrack", "'1'")
    reader.context.add_init_script(f"Object.defineProperty(Navigator.prototype, '{name}', {{ value: {value} }})")
    page = read_two_pages_without_an_id(reader)
    assert page.evaluate("Object.keys(localStorage)") == [f"truycap-{reader.site}.1"]


def test_where_storage_is_blocked_a_reader_is_one_visitor(reader: Reader) -> None:
    denied = "throw new DOMException('denied', 'SecurityError')"
    for name in ("localStorage", "sessionStorage"):
        reader.context.add_init_script(f"Object.defineProperty(window, '{name}', {{ get() {{ {denied} }} }})")
    read_two_pages_without_an_id(reader)


def test_where_there_is_no_storage_at_all(reader: Reader) -> None:
    for name in ("localStorage", "sessionStorage"):
        reader.context.add_init_script(f"Object.defineProperty(window, '{name}', {{ value: null }})")
    reader.open("/a")
    reader.expect_views(1)


def test_in_a_sandbox(reader: Reader) -> None:
    inner = reader.add("/trong")
    page = reader.context.new_page()
    page.goto(reader.portal.add("/ngoai", f'<iframe sandbox="allow-scripts" src="{inner}"></iframe>'))
    reader.expect_views(1)
    assert reader.item("/trong")["views"] == 1


def test_under_a_strict_policy_and_beside_broken_scripts(readers: Callable[..., Reader]) -> None:
    reader = readers()
    policy = f"default-src 'none'; script-src {reader.up.url}; connect-src {reader.up.url}"
    body = "<truycap-counter></truycap-counter><truycap-views></truycap-views><truycap-rating></truycap-rating>"
    page = reader.open("/chat", body, "widget.js", content_security_policy=policy)
    reader.expect_views(1)
    block = page.locator("truycap-counter")
    block.get_by_text("Hôm nay").wait_for()
    assert block.locator("b").evaluate("it => getComputedStyle(it).backgroundColor") == "rgb(11, 92, 173)"
    page.locator("truycap-rating").get_by_role("radio").nth(4).click()
    reader.wait_until(lambda: reader.item("/chat")["rating"]["points"] == 5, "the vote")
    page.goto(reader.portal.add("/hong", "<script>window.onerror = () => true; null.broken</script>" + reader.script()))
    reader.expect_views(2)
    assert [text for text in reader.console if "Content Security Policy" in text] == []


def test_two_tabs_are_one_visitor_and_one_stays_when_the_other_is_closed(reader: Reader) -> None:
    first, second = reader.open("/a"), reader.open("/b")
    reader.expect_views(2)
    assert reader.counts()["online"]["total"] == 1
    reader.pause(LEAVES)
    first.close(run_before_unload=True)
    wait_until(lambda: reader.counts()["online"]["total"] == 0, "a leave")
    second.evaluate(CHANGED)  # as it comes to the front
    reader.wait_until(lambda: reader.counts()["online"]["total"] == 1, "still here")


def test_a_page_without_javascript_is_counted_under_its_own_path(readers: Callable[..., Reader]) -> None:
    reader = readers(java_script_enabled=False)
    page = reader.context.new_page()
    page.goto(reader.portal.add("/khong/co", snippet(reader.site, reader.up.url)))
    reader.expect_views(1)
    assert reader.item("/khong/co")["views"] == 1


def test_applications_count_and_vote_by_themselves(reader: Reader) -> None:
    page = reader.open("/ung-dung")
    reader.expect_views(1)
    reader.pause(1)
    assert page.evaluate("truycap.pageview().then(({ status }) => status)") == 202
    reader.expect_views(2)
    assert page.evaluate("truycap.rate(5).then(({ ok }) => ok)")
    assert page.evaluate("truycap.rate(3, { item: '/khac' }).then(({ ok }) => ok)")
    reader.wait_until(lambda: reader.item("/khac")["rating"]["points"] == 3, "the vote")
    assert reader.item("/ung-dung")["rating"]["points"] == 5


def test_a_page_that_may_not_count_gets_one_line_that_says_why(reader: Reader) -> None:
    url = reader.add("/la").replace("127.0.0.1", "localhost")
    page = reader.context.new_page()
    page.goto(url)
    reader.wait_until(lambda: any("may not count" in text for text in reader.console), "a line")
    reader.pause(0.5)
    said = [text for text in reader.console if "Failed to load resource" not in text]
    assert len(said) == 1
    assert "'localhost' may not count" in said[0]
    assert reader.counts()["pageviews"]["total"] == 0
    assert page.evaluate(reader.kept) == []
