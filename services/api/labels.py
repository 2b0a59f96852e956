"""The words and number formats of the block, the stars and the demo page, in Vietnamese and English.

The labels and the rule of which line is shown are those of the counter that portals have had before (NukeViet 4.5), so
that a reader finds the block unchanged.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.errors import TruycapError
from shared.sites import Language

LABELS: Mapping[Language, Mapping[str, str]] = {
    "vi": {
        "title": "Thống kê truy cập",
        "online": "Đang truy cập",
        "members": "Thành viên online",
        "bots": "Máy chủ tìm kiếm",
        "guests": "Khách viếng thăm",
        "today": "Hôm nay",
        "yesterday": "Hôm qua",
        "week": "Tuần hiện tại",
        "month": "Tháng hiện tại",
        "year": "Năm hiện tại",
        "total": "Tổng lượt truy cập",
        "views": "lượt xem",
        "rating": "Tổng số điểm của bài viết là: %1 trong %2 đánh giá",
        "rate": "Click để đánh giá bài viết",
        "star1": "Bài viết rất kém",
        "star2": "Bài viết kém",
        "star3": "Bài viết đạt",
        "star4": "Bài viết tốt",
        "star5": "Bài viết rất tốt",
        "rated": "Bạn đã đánh giá bài viết này rồi",
        "average": "Xếp hạng",
        "unsaved": "Chưa lưu được, sẽ gửi lại sau",
        "demo": "Trang minh họa của truycap. Tỉnh Sơn Thủy và các bài viết trên trang này không có thật.",
    },
    "en": {
        "title": "Statistics",
        "online": "Online",
        "members": "Members",
        "bots": "Search engine",
        "guests": "Guest",
        "today": "Today",
        "yesterday": "Yesterday",
        "week": "This week",
        "month": "This month",
        "year": "This year",
        "total": "Total",
        "views": "views",
        "rating": "Total notes of this article: %1 in %2 rating",
        "rate": "Click on stars to rate this article",
        "star1": "Very poor article",
        "star2": "Poor article",
        "star3": "Normal article",
        "star4": "Good article",
        "star5": "Excellent article",
        "rated": "You have already rated this article",
        "average": "Rating",
        "unsaved": "Not saved yet, will be sent again",
        "demo": "This is truycap's demo page. The province of Sơn Thủy and its articles are made up.",
    },
}
"""%1 and %2 in `rating` stand for the points and the number of votes, both formatted."""

_GROUPS = {"vi": ".", "en": ","}
_POINTS = {"vi": ",", "en": "."}
ONLINE = ("online", "members", "bots", "guests")
VISITS = ("today", "yesterday", "week", "month", "year", "total")
LINES = (*ONLINE, "today", "month", "total")
"""The lines of a block of which nothing else is said."""


class UnknownLineError(TruycapError):
    code = "invalid"
    status = 422

    def __init__(self, line: str) -> None:
        super().__init__(f"The line {line[:40]!r} is unknown; there are {', '.join((*ONLINE, *VISITS))}.")


class Line(NamedTuple):
    """One line of the block. key: the name of the number (`online`, `today`, ...); number: formatted."""

    key: str
    label: str
    number: str
    hidden: bool = False


def language_of(asked: str, other: Language) -> Language:
    """The language of a BCP 47 tag (`vi-VN`, `en`), `other` where it is neither Vietnamese nor English."""
    tag = asked.lower().partition("-")[0]
    return "vi" if tag == "vi" else "en" if tag == "en" else other


def format_number(n: int, language: Language) -> str:
    """A whole number with the language's groups: 8.390.768 in vi, 8,390,768 in en."""
    return f"{n:,}".replace(",", _GROUPS[language])


def rounded(dividend: int, divisor: int) -> int:
    """The nearest whole number, a half rounded up; from whole numbers, so that nothing is rounded twice."""
    return (2 * dividend + divisor) // (2 * divisor)


def format_average(points: int, votes: int, language: Language) -> str:
    """The average of votes with one decimal, a half of one rounded up: 4,3 in vi, 4.3 in en."""
    tenths = rounded(10 * points, votes)
    return f"{tenths // 10}{_POINTS[language]}{tenths % 10}"


def check_line(key: str) -> None:
    """UnknownLineError where there is no line of this name."""
    if key not in ONLINE and key not in VISITS:
        raise UnknownLineError(key)


def parse_lines(text: str) -> tuple[str, ...]:
    """The keys in `online today total`, each once; LINES where there are none. UnknownLineError for any other word."""
    keys = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for key in keys:
        check_line(key)
    return keys or LINES


def lines(counts: Mapping[str, Any], language: Language, keys: Sequence[str] = LINES) -> list[Line]:
    """The lines of the block in the order of `keys`, from the JSON of /counts. The periods are visits, not page views.

    Members and bots are hidden where there are none, guests where there are none or all who are online are guests; the
    other lines never. widget/src/w/counter.js follows the same rule when the numbers change.
    """
    online, visits = counts["online"], counts["visits"]
    numbers = {"online": online["total"], **{key: online[key] for key in ONLINE[1:]}, **visits}
    hidden = {key for key in ONLINE[1:] if not numbers[key]}
    if numbers["guests"] == numbers["online"]:
        hidden.add("guests")
    labels = LABELS[language]
    return [Line(key, labels[key], format_number(numbers[key], language), key in hidden) for key in keys]
