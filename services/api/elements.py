"""What the elements of the widget show, in a reader's language. Pure: numbers in, HTML out.

Browsers load it with every page, so the templates are written in as few bytes as HTML allows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.api.labels import LABELS, format_average, format_number, lines, rounded
from services.api.render import template
from shared.sites import Language

_COUNTER = template("templates/counter.html.jinja")
_VIEWS = template("templates/views.html.jinja")
_RATING = template("templates/rating.html.jinja")


def render_counter(counts: Mapping[str, Any], language: Language, keys: Sequence[str]) -> str:
    """What <truycap-counter> shows; counts: the JSON of /counts; keys: its lines, see labels.py."""
    return _COUNTER.render(language=language, labels=LABELS[language], lines=lines(counts, language, keys))


def render_views(views: int, language: Language) -> str:
    """What <truycap-views> shows."""
    return _VIEWS.render(language=language, labels=LABELS[language], views=format_number(views, language))


def render_rating(rating: Mapping[str, Any], path: str, language: Language) -> str:
    """What <truycap-rating> shows; rating: as in the JSON of /items; path: the article's."""
    labels = LABELS[language]
    points, votes = rating["points"], rating["votes"]
    return _RATING.render(
        language=language,
        labels=labels,
        path=path,
        sentence=labels["rating"]
        .replace("%1", format_number(points, language))
        .replace("%2", format_number(votes, language)),
        average=format_average(points, votes, language) if votes else None,
        lit=rounded(points, votes) if votes else 0,
        distribution=sorted(((int(score), n) for score, n in rating["distribution"].items()), reverse=True),
        json_ld=json_ld(rating, path),
    )


def json_ld(rating: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """The rating of an article as search engines read it, None without a vote: https://schema.org/AggregateRating."""
    if not rating["votes"]:
        return None
    return {
        "@context": "https://schema.org",
        "@type": "AggregateRating",
        "itemReviewed": {"@type": "CreativeWork", "url": path},
        "ratingValue": rating["average"],
        "ratingCount": rating["votes"],
        "bestRating": 5,
        "worstRating": 1,
    }
