"""The block without JavaScript, as SVG pictures and as an HTML page for an iframe. Pure: counts in, text out."""

import unicodedata
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal, NamedTuple, get_args

from jinja2 import Environment, StrictUndefined, Template

from services.api.labels import LABELS, Line, lines
from shared.sites import Language

# Jinja escapes by file name only for .html and .xml, so it is told to escape always: an SVG is markup too.
_environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def template(path: str) -> Template:
    """A template of this package by its path in it; everything put into it is escaped for HTML and XML."""
    return _environment.from_string(resources.files("services.api").joinpath(path).read_text("utf-8"))


_SVG = template("templates/counts.svg.jinja")
_HTML = template("templates/counts.html.jinja")
_BADGE = template("templates/badge.svg.jinja")

Theme = Literal["classic", "minimal", "odometer"]
"""How the block and its badges look without JavaScript: as under the widget's theme of that name."""
THEMES: tuple[Theme, ...] = get_args(Theme)

_WIDTH = 220
_MARGIN: Mapping[Theme, int] = {"classic": 12, "minimal": 8, "odometer": 8}
_ICON: Mapping[Theme, int] = {"classic": 22, "minimal": 0, "odometer": 0}
_GAP = 8
"""Pixels between a label and its number at least."""
_LARGEST = 13.0
_BADGE_SIZE = 11.0
"""Font sizes in pixels: of a block whose lines are short enough for it, and of a badge."""
_TILE = 0.78
"""The width of one digit's tile in em."""
_EMS = {
    char: width
    for chars, width in (
        ("ijlI.,", 0.28),
        ("frt ", 0.3),
        ("cksvxyz", 0.5),
        ("mwMW", 0.86),
        ("ABCDEGHKNOPQRSUVXYĐ", 0.72),
    )
    for char in chars
}


class Placed(NamedTuple):
    """A line with the widths that it is drawn with, in pixels. tiles: the middles of the number's tiles."""

    label: str
    number: str
    key: str
    label_width: float
    number_width: float
    tiles: Sequence[float]


def render_svg(counts: Mapping[str, Any], language: Language, theme: Theme, keys: Sequence[str]) -> str:
    """The block as SVG, 220 pixels wide; counts: the JSON of /counts; keys: its lines, see labels.py."""
    shown = _shown(counts, language, keys)
    margin, icon = _MARGIN[theme], _ICON[theme]
    size = min(_LARGEST, (_WIDTH - 2 * margin - icon - _GAP) / _longest(shown, theme))
    return _SVG.render(
        language=language,
        labels=LABELS[language],
        site=counts["site"],
        theme=theme,
        width=_WIDTH,
        margin=margin,
        icon=icon,
        size=round(size, 2),
        tile=_TILE * size,
        lines=[_placed(line, theme, size) for line in shown],
    )


def render_html(counts: Mapping[str, Any], language: Language, theme: Theme, keys: Sequence[str]) -> str:
    """The block as an HTML page, from 180 to 220 pixels wide; counts: the JSON of /counts; keys: its lines."""
    shown = _shown(counts, language, keys)
    return _HTML.render(
        language=language,
        labels=LABELS[language],
        site=counts["site"],
        theme=theme,
        icon=_ICON[theme],
        ems=round(_longest(shown, theme), 2),
        lines=shown,
    )


def render_badge(counts: Mapping[str, Any], language: Language, theme: Theme, key: str) -> str:
    """One number with its label as SVG, as wide as they are; counts: the JSON of /counts; key: see labels.py."""
    (line,) = lines(counts, language, (key,))
    return _BADGE.render(
        language=language,
        theme=theme,
        size=_BADGE_SIZE,
        tile=_TILE * _BADGE_SIZE,
        line=_placed(line, theme, _BADGE_SIZE),
    )


def text_width(text: str) -> float:
    """About the width of a text in em, in Arial; the pictures make every font as wide as that (`textLength`)."""
    return sum(_EMS.get(char, 0.57) for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def _shown(counts: Mapping[str, Any], language: Language, keys: Sequence[str]) -> list[Line]:
    return [line for line in lines(counts, language, keys) if not line.hidden]


def _number_width(line: Line, theme: Theme) -> float:
    return len(line.number) * _TILE if theme == "odometer" else text_width(line.number)


def _longest(shown: Sequence[Line], theme: Theme) -> float:
    """The width in em of the longest line, without icon and gap; 1 where there is no line."""
    return max((text_width(line.label) + _number_width(line, theme) for line in shown), default=1.0)


def _placed(line: Line, theme: Theme, size: float) -> Placed:
    tiles = [round(_TILE * size * (n + 0.5), 1) for n in range(len(line.number))] if theme == "odometer" else []
    label_width = round(text_width(line.label) * size, 1)
    return Placed(line.label, line.number, line.key, label_width, round(_number_width(line, theme) * size, 1), tiles)
