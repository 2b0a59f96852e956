"""The block without JavaScript, as an SVG picture and as an HTML page for an iframe. Pure: counts in, text out."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from services.api.labels import LABELS, lines
from shared.sites import Language

# Jinja escapes by file name only for .html and .xml, so it is told to escape always: an SVG is markup too.
_environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def template(path: str) -> Template:
    """A template of this package by its path in it; everything put into it is escaped for HTML and XML."""
    return _environment.from_string(resources.files("services.api").joinpath(path).read_text("utf-8"))


_SVG = template("templates/counts.svg.jinja")
_HTML = template("templates/counts.html.jinja")


def render_svg(counts: Mapping[str, Any], language: Language) -> str:
    """The block as SVG, 220 pixels wide; counts: the JSON of /counts."""
    return _render(_SVG, counts, language)


def render_html(counts: Mapping[str, Any], language: Language) -> str:
    """The block as an HTML page, from 180 to 220 pixels wide; counts: the JSON of /counts."""
    return _render(_HTML, counts, language)


def _render(block: Template, counts: Mapping[str, Any], language: Language) -> str:
    return block.render(language=language, site=counts["site"], labels=LABELS[language], lines=lines(counts, language))
