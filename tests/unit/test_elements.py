"""What the elements show: words, numbers, escaped."""

import re
from typing import Any

import pytest

from services.api.elements import json_ld, render_counter, render_rating, render_views
from services.api.labels import LABELS
from shared.sites import Language

LANGUAGES: list[Language] = ["vi", "en"]
COUNTS: dict[str, Any] = {
    "online": {"total": 22, "guests": 14, "members": 0, "bots": 8},
    "visits": {"today": 1256, "yesterday": 1301, "week": 4890, "month": 63536, "year": 700123, "total": 8390768},
}
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
    assert html.startswith(f"<b lang={language}>{labels['title']}</b><dl lang={language}>")


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
