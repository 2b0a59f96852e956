"""The block's words, numbers and lines."""

from importlib import resources
from typing import Any

import pytest

from services.api.labels import LABELS, format_number, lines
from shared.sites import Language

IN_WIDGET = LABELS["vi"].keys() - {"yesterday", "week", "year", "votes", "demo"}
"""What widget.js shows today."""


def counts(total: int, guests: int, members: int = 0, bots: int = 0) -> dict[str, Any]:
    online = {"total": total, "guests": guests, "members": members, "bots": bots}
    visits = {"today": 1256, "yesterday": 1301, "week": 4890, "month": 63536, "year": 700123, "total": 8390768}
    return {"site": "caobang", "online": online, "visits": visits, "pageviews": dict.fromkeys(visits, 9999999)}


@pytest.mark.parametrize(
    ("number", "vi", "en"),
    [(0, "0", "0"), (999, "999", "999"), (1256, "1.256", "1,256"), (8390768, "8.390.768", "8,390,768")],
)
def test_numbers_are_in_the_format_of_the_language(number: int, vi: str, en: str) -> None:
    assert format_number(number, "vi") == vi
    assert format_number(number, "en") == en


def test_the_block_reads_as_portals_know_it() -> None:
    assert lines(counts(total=22, guests=14, bots=8), "vi") == [
        ("online", "Đang truy cập", "22"),
        ("bots", "Máy chủ tìm kiếm", "8"),
        ("guests", "Khách viếng thăm", "14"),
        ("today", "Hôm nay", "1.256"),
        ("month", "Tháng hiện tại", "63.536"),
        ("total", "Tổng lượt truy cập", "8.390.768"),
    ]


@pytest.mark.parametrize(
    ("online", "shown"),
    [
        ({"total": 0, "guests": 0}, []),
        ({"total": 3, "guests": 3}, []),
        ({"total": 3, "guests": 2, "bots": 1}, ["bots", "guests"]),
        ({"total": 3, "guests": 0, "members": 3}, ["members"]),
        ({"total": 6, "guests": 3, "members": 2, "bots": 1}, ["members", "bots", "guests"]),
    ],
)
def test_parts_of_online_are_shown_where_they_say_something(online: dict[str, int], shown: list[str]) -> None:
    assert [line.key for line in lines(counts(**online), "en")] == ["online", *shown, "today", "month", "total"]


def test_both_languages_have_the_same_labels() -> None:
    assert LABELS["vi"].keys() == LABELS["en"].keys()
    assert all(label for labels in LABELS.values() for label in labels.values())


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_widget_has_the_same_words(language: Language) -> None:
    widget = resources.files("services.api").joinpath("widget/widget.js").read_text("utf-8")
    assert [key for key in sorted(IN_WIDGET) if f"'{LABELS[language][key]}'" not in widget] == []
