"""The numbers as readers see them, in elements and without JavaScript. Pure: numbers in, text out."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from services.api.labels import LABELS, format_average, format_number, lines
from shared.sites import Language

# Jinja escapes by file name only for .html and .xml, so it is told to escape always: an SVG is markup too.
_environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def template(path: str) -> Template:
    """A template of this package by its path in it; everything put into it is escaped for HTML and XML."""
    return _environment.from_string(resources.files("services.api").joinpath(path).read_text("utf-8"))


_SVG = template("templates/counts.svg.jinja")
_HTML = template("templates/counts.html.jinja")
_COUNTER = template("templates/counter.html.jinja")
_VIEWS = template("templates/views.html.jinja")
_RATING = template("templates/rating.html.jinja")


def render_svg(counts: Mapping[str, Any], language: Language) -> str:
    """The block as SVG, 220 pixels wide; counts: the JSON of /counts."""
    return _block(_SVG, counts, language)


def render_html(counts: Mapping[str, Any], language: Language) -> str:
    """The block as an HTML page, from 180 to 220 pixels wide; counts: the JSON of /counts."""
    return _block(_HTML, counts, language)


def render_counter(counts: Mapping[str, Any], language: Language, keys: Sequence[str]) -> str:
    """What <truycap-counter> shows; counts: the JSON of /counts; keys: its lines, see labels.py."""
    return _COUNTER.render(language=language, labels=LABELS[language], lines=lines(counts, language, keys))


def render_views(views: int, language: Language) -> str:
    """What <truycap-views> shows."""
    return _VIEWS.render(language=language, labels=LABELS[language], views=format_number(views, language))


def render_rating(rating: Mapping[str, Any], path: str, language: Language) -> str:
    """What <truycap-rating> shows; rating: as in the JSON of /items; path: the article's."""
    labels = LABELS[language]
    points, votes = (format_number(rating[key], language) for key in ("points", "votes"))
    return _RATING.render(
        language=language,
        labels=labels,
        path=path,
        sentence=labels["rating"].replace("%1", points).replace("%2", votes),
        average=None if rating["average"] is None else format_average(rating["average"], language),
        lit=round(rating["average"] or 0),
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


def _block(block: Template, counts: Mapping[str, Any], language: Language) -> str:
    shown = [line for line in lines(counts, language) if not line.hidden]
    return block.render(language=language, site=counts["site"], labels=LABELS[language], lines=shown)
