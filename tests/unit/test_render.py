"""The block without JavaScript: well-formed, escaped, self-contained."""

import re
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from services.api.labels import LABELS, LINES, ONLINE, VISITS, Line, lines
from services.api.render import THEMES, Theme, render_badge, render_html, render_svg, text_width
from shared.sites import Language

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = {
    "site": "caobang",
    "online": {"total": 22, "guests": 14, "members": 0, "bots": 8},
    "visits": {"today": 1256, "yesterday": 1301, "week": 4890, "month": 63536, "year": 700123, "total": 8390768},
}
HOSTILE = {**COUNTS, "site": "</title><script>alert('1')</script>\"&"}
LARGE = {**COUNTS, "visits": dict.fromkeys(VISITS, 10**15)}
LANGUAGES: list[Language] = ["vi", "en"]
KEYS = (*ONLINE, *VISITS)
Render = Callable[[Mapping[str, Any], Language, Theme, Sequence[str]], str]


def shown(language: Language, keys: Sequence[str] = LINES) -> list[Line]:
    return [line for line in lines(COUNTS, language, keys) if not line.hidden]


def texts(svg: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]


class Elements(HTMLParser):
    """The elements of a page, and its text by element name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.text: dict[str, list[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes[tag] = dict(attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.setdefault(self.open[-1], []).append(data)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_shows_the_lines(language: Language, theme: Theme) -> None:
    svg = ET.fromstring(render_svg(COUNTS, language, theme, LINES))
    title = [] if theme == "minimal" else [LABELS[language]["title"]]
    assert texts(svg) == title + [text for line in shown(language) for text in (line.label, line.number)]


def test_the_picture_shows_the_lines_that_are_asked_for() -> None:
    svg = ET.fromstring(render_svg(COUNTS, "vi", "minimal", ("total", "yesterday", "members")))
    assert texts(svg) == ["Tổng lượt truy cập", "8.390.768", "Hôm qua", "1.301"]


def test_the_picture_has_a_name_and_says_its_numbers() -> None:
    svg = ET.fromstring(render_svg(COUNTS, "vi", "minimal", LINES))
    title, desc = svg.findtext(f"{SVG}title"), svg.findtext(f"{SVG}desc")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "title desc"
    assert svg.get("{http://www.w3.org/XML/1998/namespace}lang") == "vi"
    assert title == "Thống kê truy cập: caobang"
    assert desc is not None
    assert desc.endswith("Tổng lượt truy cập: 8.390.768")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("keys", [("members",), ("total",), KEYS])
def test_the_picture_is_as_high_as_its_lines(theme: Theme, keys: Sequence[str]) -> None:
    svg = ET.fromstring(render_svg(COUNTS, "vi", theme, keys))
    height = int(svg.get("height", "0"))
    rows = [float(text.get("y", "0")) for text in svg.iter(f"{SVG}text")]
    assert len(set(rows)) == len(shown("vi", keys)) + (theme != "minimal")
    assert max(rows, default=0) <= height - 8
    assert svg.get("viewBox") == f"0 0 220 {height}"


@pytest.mark.parametrize("counts", [COUNTS, LARGE])
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_label_of_the_picture_touches_its_number(
    counts: Mapping[str, Any], language: Language, theme: Theme
) -> None:
    svg = ET.fromstring(render_svg(counts, language, theme, KEYS))
    parts = list(svg.iter(f"{SVG}text"))[theme != "minimal" :]
    for label, number in zip(parts[::2], parts[1::2], strict=True):
        end = float(label.get("x", "")) + float(label.get("textLength", ""))
        if theme == "odometer":
            begin = float(number.get("x", "").split()[0]) - 6
        else:
            begin = float(number.get("x", "")) - float(number.get("textLength", ""))
        assert end + 5 < begin


def test_every_digit_has_its_tile() -> None:
    svg = ET.fromstring(render_svg(COUNTS, "vi", "odometer", ("total",)))
    tiles = [(float(tile.get("x", "")), float(tile.get("width", ""))) for tile in svg.iter(f"{SVG}rect")]
    digits = [float(x) for x in list(svg.iter(f"{SVG}text"))[-1].get("x", "").split()]
    assert len(digits) == len("8.390.768")
    assert [abs(x + width / 2 - digit) < 0.11 for (x, width), digit in zip(tiles, digits, strict=True)] == [True] * 9
    assert tiles[-1][0] + tiles[-1][1] <= 212


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_lines(language: Language, theme: Theme) -> None:
    page = Elements(render_html(COUNTS, language, theme, LINES))
    assert page.open == []
    assert page.attributes["html"] == {"lang": language}
    assert ("h1" in page.text) == (theme != "minimal")
    assert page.text["dt"] == [line.label for line in shown(language)]
    assert page.text["dd"] == [line.number for line in shown(language)]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", KEYS)
def test_a_badge_is_as_wide_as_its_label_and_number(key: str, language: Language, theme: Theme) -> None:
    svg = ET.fromstring(render_badge(COUNTS, language, theme, key))
    (line,) = lines(COUNTS, language, (key,))
    assert texts(svg) == [line.label, line.number]
    assert svg.findtext(f"{SVG}title") == f"{line.label}: {line.number}"
    label, number = svg.iter(f"{SVG}text")
    width = float(svg.get("width", ""))
    assert svg.get("viewBox") == f"0 0 {width:.0f} 20"
    places = [float(x) for x in number.get("x", "").split()]
    if theme == "odometer":
        begin, end = places[0] - 5, places[-1] + 5
    else:
        begin, end = places[0], places[0] + float(number.get("textLength", ""))
    assert float(label.get("x", "")) + float(label.get("textLength", "")) + 4 < begin < end <= width


# Widths of Liberation Sans, which are Arial's, as Chromium measures them.
@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("Đang truy cập", 6.28),
        ("Thành viên online", 7.89),
        ("Máy chủ tìm kiếm", 7.97),
        ("Khách viếng thăm", 8.06),
        ("Hôm nay", 4.00),
        ("Tháng hiện tại", 6.45),
        ("Tổng lượt truy cập", 8.25),
        ("Search engine", 6.45),
        ("Yesterday", 4.41),
        ("This month", 4.95),
        ("8.390.768", 4.45),
    ],
)
def test_texts_are_drawn_about_as_wide_as_they_are(text: str, width: float) -> None:
    assert text_width(text) == pytest.approx(width, rel=0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_a_hostile_name_stays_text(theme: Theme) -> None:
    svg = ET.fromstring(render_svg(HOSTILE, "vi", theme, LINES))
    page = Elements(render_html(HOSTILE, "vi", theme, LINES))
    assert svg.findtext(f"{SVG}title") == f"Thống kê truy cập: {HOSTILE['site']}"
    assert page.text["title"] == [f"Thống kê truy cập: {HOSTILE['site']}"]
    assert svg.find(f".//{SVG}script") is None
    assert "script" not in page.attributes


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "render", [render_svg, render_html, lambda counts, lang, theme, _: render_badge(counts, lang, theme, "total")]
)
def test_nothing_is_loaded_or_run(render: Render, theme: Theme) -> None:
    text = render(COUNTS, "vi", theme, LINES).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"://|url\(|@import|<script|<link|<img|<image|\bon\w+=|src=|href=", text)
    assert re.search('prefers-color-scheme: dark|name="color-scheme" content="light dark"', text)
