"""What a page loads is small: the built files with what the server writes for them, under gzip -9."""

import gzip
from functools import cache
from importlib import resources
from typing import Any

from services.api.elements import render_counter, render_rating, render_views
from services.api.labels import LINES, VISITS
from shared.sites import Language

NAME_BYTES = 12
"""What `gzip -9 FILE` adds for the file's name."""
DIST = resources.files("services.api").joinpath("widget/dist")
COUNTS: dict[str, Any] = {
    "online": {"total": 1, "guests": 1, "members": 0, "bots": 0},
    "visits": dict.fromkeys(VISITS, 1),
}
UNRATED: dict[str, Any] = {"points": 0, "votes": 0, "average": None, "distribution": dict.fromkeys("12345", 0)}
LANGUAGES: tuple[Language, ...] = ("vi", "en")


def packed(content: bytes) -> int:
    return len(gzip.compress(content, 9, mtime=0))


@cache
def script(name: str) -> int:
    return packed(DIST.joinpath(name).read_bytes())


def test_the_tracker_alone() -> None:
    assert script("t.js") + NAME_BYTES <= 950


def test_a_page_with_the_block() -> None:
    block = packed(render_counter(COUNTS, "vi", LINES).encode())
    assert script("widget.js") + script("w/counter.js") + script("w/classic.js") + block <= 2500


def test_everything_there_is() -> None:
    parts = (script(f"w/{name}.js") for name in ("counter", "views", "rating", "classic", "minimal", "odometer"))
    words = sum(
        packed(html.encode())
        for language in LANGUAGES
        for html in (
            render_counter(COUNTS, language, LINES),
            render_views(1, language),
            render_rating(UNRATED, "/tin", language),
        )
    )
    assert script("widget.js") + sum(parts) + words <= 4500
