"""The block without JavaScript: well-formed, escaped, self-contained."""

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from services.api.labels import lines
from services.api.render import render_html, render_svg
from shared.sites import Language

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = {
    "site": "caobang",
    "online": {"total": 22, "guests": 14, "members": 0, "bots": 8},
    "visits": {"today": 1256, "yesterday": 1301, "week": 4890, "month": 63536, "year": 700123, "total": 8390768},
}
HOSTILE = {**COUNTS, "site": "</title><script>alert('1')</script>\"&"}
LANGUAGES: list[Language] = ["vi", "en"]
Render = Callable[[Mapping[str, Any], Language], str]


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_shows_the_lines(language: Language) -> None:
    svg = ET.fromstring(render_svg(COUNTS, language))
    texts = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
    assert texts[1:] == [part for line in lines(COUNTS, language) for part in line[1:]]


def test_the_picture_has_a_name_and_says_its_numbers() -> None:
    svg = ET.fromstring(render_svg(COUNTS, "vi"))
    title, desc = svg.findtext(f"{SVG}title"), svg.findtext(f"{SVG}desc")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "title desc"
    assert svg.get("{http://www.w3.org/XML/1998/namespace}lang") == "vi"
    assert title == "Thống kê truy cập: caobang"
    assert desc is not None
    assert desc.endswith("Tổng lượt truy cập: 8.390.768")


def test_the_picture_is_as_high_as_its_lines() -> None:
    few = ET.fromstring(render_svg({**COUNTS, "online": {"total": 1, "guests": 1, "members": 0, "bots": 0}}, "vi"))
    many = ET.fromstring(render_svg({**COUNTS, "online": {"total": 6, "guests": 3, "members": 2, "bots": 1}}, "vi"))
    for svg, number in ((few, 4), (many, 7)):
        height = int(svg.get("height", "0"))
        rows = {text.get("y") for text in svg.iter(f"{SVG}text")}
        assert len(rows) == number + 1
        assert max(int(y or 0) for y in rows) < height
        assert svg.get("viewBox") == f"0 0 220 {height}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_lines(language: Language) -> None:
    page = Elements(render_html(COUNTS, language))
    assert page.open == []
    assert page.attributes["html"] == {"lang": language}
    assert page.text["dt"] == [line.label for line in lines(COUNTS, language)]
    assert page.text["dd"] == [line.number for line in lines(COUNTS, language)]


def test_a_hostile_name_stays_text() -> None:
    svg = ET.fromstring(render_svg(HOSTILE, "vi"))
    page = Elements(render_html(HOSTILE, "vi"))
    assert svg.findtext(f"{SVG}title") == f"Thống kê truy cập: {HOSTILE['site']}"
    assert page.text["title"] == [f"Thống kê truy cập: {HOSTILE['site']}"]
    assert svg.find(f".//{SVG}script") is None
    assert "script" not in page.attributes


@pytest.mark.parametrize("render", [render_svg, render_html])
def test_nothing_is_loaded_or_run(render: Render) -> None:
    text = render(COUNTS, "vi").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"://|url\(|@import|<script|<link|<img|<image|\bon\w+=|src=|href=", text)
    assert "prefers-color-scheme: dark" in text
