"""The block without JavaScript: well-formed, escaped, self-contained."""

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from services.api.labels import LABELS, Line, lines
from services.api.render import json_ld, render_counter, render_html, render_rating, render_svg, render_views
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


def shown(language: Language) -> list[Line]:
    return [line for line in lines(COUNTS, language) if not line.hidden]


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
    assert texts[1:] == [text for line in shown(language) for text in (line.label, line.number)]


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
    assert page.text["dt"] == [line.label for line in shown(language)]
    assert page.text["dd"] == [line.number for line in shown(language)]


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


RATING = {"points": 1042, "votes": 250, "average": 4.17, "distribution": {"1": 10, "2": 8, "3": 30, "4": 84, "5": 118}}
UNRATED = {"points": 0, "votes": 0, "average": None, "distribution": dict.fromkeys("12345", 0)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_element_has_all_its_lines_and_hides_what_says_nothing(language: Language) -> None:
    html = render_counter(COUNTS, language, ("online", "members", "bots", "year"))
    rows = re.findall(r"<div part=(\w+)( hidden)?><dt>([^<]+)<dd>([^<]+)</div>", html)
    labels = LABELS[language]
    assert rows == [
        ("online", "", labels["online"], "22"),
        ("members", " hidden", labels["members"], "0"),
        ("bots", "", labels["bots"], "8"),
        ("year", "", labels["year"], "700.123" if language == "vi" else "700,123"),
    ]
    assert html.startswith(f"<b lang={language} part=title>{labels['title']}</b><dl lang={language}>")


def test_views_are_a_number_and_a_word() -> None:
    assert render_views(1256, "vi") == "<span lang=vi><data>1.256</data> lượt xem</span>"


def test_a_rating_says_its_sentence_average_and_distribution() -> None:
    html = render_rating(RATING, "/tin", "vi")
    assert (
        "<div>Tổng số điểm của bài viết là: 1.042 trong 250 đánh giá<details><summary>Xếp hạng: 4,2</summary>" in html
    )
    assert "5 ★ 118<br>4 ★ 84<br>3 ★ 30<br>2 ★ 8<br>1 ★ 10<br></details>" in html
    assert [int(score) for score in re.findall(r"value=(\d) [^>]*class=lit", html)] == [1, 2, 3, 4]
    assert re.findall('aria-label="([^"]+)"', html)[::4] == ["Bài viết rất kém", "Bài viết rất tốt"]


def test_without_a_vote_there_is_neither_average_nor_linked_data() -> None:
    html = render_rating(UNRATED, "/tin", "en")
    assert "Total notes of this article: 0 in 0 rating</div>" in html
    assert "<script" not in html
    assert json_ld(UNRATED, "/tin") is None


def test_search_engines_read_the_rating() -> None:
    assert json_ld(RATING, "/tin") == {
        "@context": "https://schema.org",
        "@type": "AggregateRating",
        "itemReviewed": {"@type": "CreativeWork", "url": "/tin"},
        "ratingValue": 4.17,
        "ratingCount": 250,
        "bestRating": 5,
        "worstRating": 1,
    }


def test_a_hostile_path_stays_text() -> None:
    html = render_rating(RATING, '/"></script><script>alert(1)</script>', "vi")
    assert html.count("<script") == html.count("</script>") == 1
    assert 'name="/&#34;&gt;' in html
