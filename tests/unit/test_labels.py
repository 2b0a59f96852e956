"""The block's words, numbers and lines."""

from typing import Any

import pytest

from services.api.labels import (
    LABELS,
    LINES,
    UnknownLineError,
    format_average,
    format_number,
    language_of,
    lines,
    parse_lines,
)
from shared.sites import Language


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
    shown = [line for line in lines(counts(total=22, guests=14, bots=8), "vi") if not line.hidden]
    assert [(line.key, line.label, line.number) for line in shown] == [
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
    visible = [line.key for line in lines(counts(**online), "en") if not line.hidden]
    assert visible == ["online", *shown, "today", "month", "total"]


def test_the_lines_are_those_that_are_asked_for_in_their_order() -> None:
    keys = parse_lines("total, year week  yesterday online total")
    assert keys == ("total", "year", "week", "yesterday", "online")
    assert [(line.label, line.number) for line in lines(counts(total=3, guests=3), "vi", keys)] == [
        ("Tổng lượt truy cập", "8.390.768"),
        ("Năm hiện tại", "700.123"),
        ("Tuần hiện tại", "4.890"),
        ("Hôm qua", "1.301"),
        ("Đang truy cập", "3"),
    ]
    assert parse_lines(" ") == LINES


def test_a_line_that_there_is_not_is_named() -> None:
    with pytest.raises(UnknownLineError, match=r"'todya' is unknown; there are online, members, .*total"):
        parse_lines("online todya")


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("vi", "vi"),
        ("vi-VN", "vi"),
        ("EN", "en"),
        ("en-GB", "en"),
        ("", "en"),
        ("fr", "en"),
        ("enm", "en"),
        ("vie", "en"),
    ],
)
def test_the_language_is_the_pages_where_it_is_known(asked: str, language: Language) -> None:
    assert language_of(asked, "en") == language


def test_averages_are_in_the_format_of_the_language() -> None:
    assert (format_average(17, 4, "vi"), format_average(4, 1, "en")) == ("4,3", "4.0")
    assert format_average(310, 73, "en") == "4.2"  # 4.2466
    assert (format_average(199, 40, "en"), format_average(500, 100, "en")) == ("5.0", "5.0")


def test_both_languages_have_the_same_labels() -> None:
    assert LABELS["vi"].keys() == LABELS["en"].keys()
    assert all(label for labels in LABELS.values() for label in labels.values())
