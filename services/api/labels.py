"""The words and number formats of the block, the stars and the demo page, in Vietnamese and English.

The labels and the rule of which line is shown are those of the counter that portals have had before (NukeViet 4.5), so
that a reader finds the block unchanged. widget/widget.js carries a copy of what it shows; tests/unit/test_labels.py
keeps the two together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

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
        "votes": "phiếu bầu",
        "saved": "Cảm ơn bạn đã đánh giá bài viết",
        "unsaved": "Chưa lưu được đánh giá, sẽ gửi lại sau",
        "refused": "Không lưu được đánh giá của bạn",
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
        "votes": "votes",
        "saved": "Thank you for rating this article",
        "unsaved": "Your rating is not saved yet and will be sent again",
        "refused": "Your rating could not be saved",
        "demo": "This is truycap's demo page. The province of Sơn Thủy and its articles are made up.",
    },
}
"""%1 and %2 in `rating` stand for the points and the number of votes, both formatted."""

_GROUPS = {"vi": ".", "en": ","}
_ONLINE = ("online", "members", "bots", "guests")
_VISITS = ("today", "month", "total")


class Line(NamedTuple):
    """One line of the block. key: the name of the number (`online`, `today`, ...); number: formatted."""

    key: str
    label: str
    number: str


def format_number(n: int, language: Language) -> str:
    """A whole number with the language's groups: 8.390.768 in vi, 8,390,768 in en."""
    return f"{n:,}".replace(",", _GROUPS[language])


def lines(counts: Mapping[str, Any], language: Language) -> list[Line]:
    """The lines of the block in their order, from the JSON of /counts. The periods are visits, not page views.

    Members and bots are shown where there are any, guests where there are any and not all who are online are guests;
    the other lines always.
    """
    online, visits = counts["online"], counts["visits"]
    numbers = {"online": online["total"], **{key: online[key] for key in _ONLINE[1:]}}
    shown = {key: n for key, n in numbers.items() if key == "online" or n > 0}
    if shown.get("guests") == shown["online"]:
        del shown["guests"]
    shown |= {key: visits[key] for key in _VISITS}
    return [Line(key, LABELS[language][key], format_number(n, language)) for key, n in shown.items()]
