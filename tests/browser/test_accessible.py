"""The demo for everybody: checked by axe-core, rated by keyboard alone, with nothing that moves by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Reader
from tests.support.counting import GOOGLEBOT
from tests.support.truycap import ROOT, Up

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
DEMO, THEMES = "/demo", "/demo/themes"
SCHEMES = ("light", "dark")
RATED = "Bạn đã đánh giá bài viết này rồi"
TALL: Any = {"viewport": {"width": 1280, "height": 2400}}
SMALL: Any = {"viewport": {"width": 360, "height": 3600}}
_HERE = """() => [...document.querySelectorAll('truycap-counter, truycap-views, truycap-rating')]
    .every((element) => element.shadowRoot?.firstChild)"""
_SHIFTS = """() => new Promise((done) => {
    const shifts = [];
    new PerformanceObserver((list) => shifts.push(...list.getEntries().filter((shift) => !shift.hadRecentInput)))
        .observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => done(shifts.map(({ value, startTime, sources }) => [
        value, startTime, ...sources.map(({ node }) => (node?.outerHTML ?? node?.textContent ?? '').slice(0, 99))
    ])), 300);
})"""


def source(file: Path) -> str:
    assert file.exists(), f"{file} is missing. Run `npm ci` in {ROOT}."
    return file.read_text("utf-8")


def visit(reader: Reader, path: str) -> Page:
    """A page of the demo with its elements."""
    page = reader.context.new_page()
    page.goto(reader.up.url + path)
    page.wait_for_function(_HERE)
    return page


def shifts(page: Page) -> Any:
    """What moved by itself since the page was opened."""
    return page.evaluate(_SHIFTS)


def found(page: Page) -> dict[str, Any]:
    """What axe finds, in frames too: the rule with the places."""
    for frame in page.frames:
        frame.evaluate(source(AXE))
    violations = page.evaluate("axe.run()")["violations"]
    return {rule["id"]: [(node["target"], node["failureSummary"]) for node in rule["nodes"]] for rule in violations}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", [DEMO, THEMES])
def test_axe_finds_nothing(reader: Reader, path: str, scheme: Literal["light", "dark"]) -> None:
    bot = f"/v1/pixel.gif?site=demo&url={reader.up.url}{path}"
    assert reader.up.fetch(bot, user_agent=GOOGLEBOT) == 200
    page = visit(reader, path)
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("truycap-counter").first).to_contain_text("Máy chủ tìm kiếm")
    assert found(page) == {}
    rating = page.locator("truycap-rating").first
    rating.get_by_role("radio").nth(3).check(force=True)
    expect(rating.get_by_text(RATED)).to_be_visible()
    expect(rating).to_contain_text("Xếp hạng")
    assert found(page) == {}


def test_the_page_of_themes_shows_all_there_is(reader: Reader) -> None:
    page = visit(reader, THEMES)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    assert page.evaluate("[...document.images].filter((image) => !image.naturalWidth).map((image) => image.src)") == []
    for frame in page.frames[1:]:
        expect(frame.get_by_text("Tổng lượt truy cập")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_of_themes_can_be_seen_on_the_other_background(
    reader: Reader, scheme: Literal["light", "dark"]
) -> None:
    page = visit(reader, THEMES)
    page.emulate_media(color_scheme=scheme)
    label, other = {"light": ("tối", "dark"), "dark": ("sáng", "light")}[scheme]
    scheme_of_page = "getComputedStyle(document.documentElement).colorScheme"
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("checkbox", name=f"Xem trên nền {label}", exact=True).check()
    assert page.evaluate(scheme_of_page) == other
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_keyboard_is_enough_to_rate(reader: Reader, scheme: Literal["light", "dark"]) -> None:
    page = reader.open("/bai", "<truycap-rating></truycap-rating>", "widget.js")
    page.emulate_media(color_scheme=scheme)
    rating = page.locator("truycap-rating")
    expect(rating.get_by_role("group", name="Click để đánh giá bài viết")).to_be_visible()
    page.keyboard.press("Tab")
    stars = rating.get_by_role("radio")
    expect(stars.first).to_be_focused()
    outline = stars.first.evaluate("(star) => [getComputedStyle(star).outlineStyle, star.matches(':focus-visible')]")
    assert outline[0] != "none"
    assert outline[1]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(stars.nth(3)).to_be_focused()
    expect(rating.get_by_role("radio", name="Bài viết tốt", exact=True)).to_be_checked()
    expect(rating.get_by_role("status").get_by_text(RATED)).to_be_visible()
    reader.wait_until(lambda: reader.item("/bai")["rating"]["points"] == 4, "four points")
    assert reader.item("/bai")["rating"]["votes"] == 1
    page.keyboard.press("ArrowLeft")
    reader.wait_until(lambda: reader.item("/bai")["rating"]["points"] == 3, "the vote changed to three")
    expect(rating).to_contain_text("3 trong 1 đánh giá")


@pytest.mark.parametrize(("motion", "animation"), [("no-preference", "roll"), ("reduce", "none")])
def test_digits_roll_only_where_motion_is_welcome(
    readers: Callable[..., Reader], motion: Literal["no-preference", "reduce"], animation: str
) -> None:
    reader, other = readers(reduced_motion=motion), readers()
    page = reader.open("/bai", '<truycap-counter theme="odometer"></truycap-counter>', "widget.js")
    number = page.locator("truycap-counter [part=total]")
    expect(number.locator("dd")).to_have_text("1")
    other.open("/khac")
    expect(number.locator("dd")).to_have_text("2")
    assert number.locator(".new").evaluate("(digit) => getComputedStyle(digit).animationName") == animation


@pytest.mark.parametrize("path", [DEMO, THEMES])
def test_the_room_kept_for_a_block_is_what_it_takes(reader: Reader, path: str) -> None:
    for counter in visit(reader, path).locator("truycap-counter").all():
        kept = counter.evaluate("(counter) => counter.offsetHeight")
        assert abs(counter.evaluate("(it) => (it.style.minHeight = 0, it.offsetHeight)") - kept) <= 1


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A truycap that no bot visits: a line that comes into a block moves the other lines in it."""
    with Up(tmp_path_factory.mktemp("calm") / "data") as up:
        yield up


@pytest.mark.parametrize("size", [TALL, SMALL], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", [DEMO, THEMES])
def test_nothing_moves_when_the_elements_come_late(
    calm: Up, readers: Callable[..., Reader], size: Any, path: str
) -> None:
    reader = readers(**size)
    page = reader.context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/w/*.js", hold)
    page.goto(calm.url + path)
    files = 4 if path == DEMO else 6
    reader.wait_until(lambda: len(held) == files, "what the elements need")
    reader.pause(0.3)  # the page stands without them
    for route in held:
        route.continue_()
    page.wait_for_function(_HERE)
    reader.pause(0.3)
    assert shifts(page) == []


def test_nothing_moves_when_numbers_change_nor_for_who_has_rated(calm: Up, readers: Callable[..., Reader]) -> None:
    reader, other = readers(**TALL), readers()
    reader.up = other.up = calm
    page = visit(reader, DEMO)
    total, views = page.locator("truycap-counter [part=total] dd"), page.locator("truycap-views data")
    before = total.inner_text(), views.inner_text()
    visit(other, DEMO)
    expect(total).not_to_have_text(before[0])
    expect(views).not_to_have_text(before[1], timeout=40_000)
    assert shifts(page) == []
    page.locator("truycap-rating").get_by_role("radio").nth(3).check(force=True)
    calm.wait_for(f"/v1/sites/demo/items?path={DEMO}", {"rating.votes": 1}, seconds=3)
    page.reload()
    expect(page.locator("truycap-rating")).to_contain_text("Xếp hạng: 4,0")
    expect(page.get_by_text(RATED)).to_be_visible()
    assert shifts(page) == []
