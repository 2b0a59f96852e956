"""The cold paths of the api that show the read model: what the elements show, and the block without JavaScript."""

import re
from typing import Annotated
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.api.cached import cached
from services.api.elements import json_ld, render_counter, render_rating, render_views
from services.api.labels import check_line, language_of, parse_lines
from services.api.live import COUNTS_CACHE, public_site
from services.api.render import Theme, render_badge, render_html, render_svg
from services.api.snapshots import Snapshots
from shared.events import item_of
from shared.sites import Language, Sites

HTML = "text/html; charset=utf-8"
SVG = "image/svg+xml"
_FRESH = "no-cache"  # an element is asked for each time, and answered with 304 where nothing changed
Path = Annotated[str, Query(min_length=1, max_length=8192, description="The article's path, or its address.")]
Tag = Annotated[str, Query(max_length=64, description="The page's language; the site's where it is not vi or en.")]
Lines = Annotated[
    str, Query(max_length=256, description="The lines of the block, `online today total`; '' for the usual.")
]

Chosen = Annotated[Language | None, Query(description="The language; the site's where none is said.")]
Look = Annotated[Theme, Query(description="The theme, as the widget's.")]
Number = Annotated[str, Query(max_length=256, description="The one line that the badge shows.")]


_LAST = re.compile(r"(?:^|&)path=(.*)")


def article_of(query: str) -> str:
    """The item of an element's request. Its path is the last parameter and stands as it does in an address bar.

    So a `&`, a `+` or an escape in it belongs to the path. What has no slash was encoded like any other parameter.
    """
    path = found[1] if (found := _LAST.search(query)) else ""
    return item_of(path if "/" in path else unquote(path))


def blocks(sites: Sites, snapshots: Snapshots) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/sites/{site}", tags=["counts"])

    def element(request: Request, html: str) -> Response:
        return cached(request, html.encode(), HTML, _FRESH)

    @router.get("/items", summary="Views, readers now and rating of an article")
    async def items(request: Request, site: str, path: Path) -> Response:
        body = msgspec.json.encode(await snapshots.item(public_site(sites, site), item_of(path)))
        return cached(request, body, "application/json", COUNTS_CACHE)

    @router.get("/counter.html", summary="What <truycap-counter> shows")
    async def counter(request: Request, site: str, lang: Tag = "", lines: Lines = "") -> Response:
        found = public_site(sites, site)
        snapshot = await snapshots.counts(found)
        keys = parse_lines(lines)
        return element(request, render_counter(snapshot.counts, language_of(lang, found.language), keys))

    @router.get("/views.html", summary="What <truycap-views> shows")
    async def views(request: Request, site: str, path: Path, lang: Tag = "") -> Response:
        found = public_site(sites, site)
        item = await snapshots.item(found, article_of(request.url.query))
        return element(request, render_views(item["views"], language_of(lang, found.language)))

    @router.get("/rating.html", summary="What <truycap-rating> shows")
    async def rating(request: Request, site: str, path: Path, lang: Tag = "") -> Response:
        found = public_site(sites, site)
        article = article_of(request.url.query)
        item = await snapshots.item(found, article)
        return element(request, render_rating(item["rating"], article, language_of(lang, found.language)))

    @router.get("/rating.jsonld", summary="The rating for search engines, for pages that are written on a server")
    async def linked_data(request: Request, site: str, path: Path) -> Response:
        item = await snapshots.item(public_site(sites, site), item_of(path))
        body = msgspec.json.encode(json_ld(item["rating"], item_of(path)))
        return cached(request, body, "application/ld+json", COUNTS_CACHE)

    @router.get("/counts.svg", summary="The block as a picture")
    async def svg(
        request: Request, site: str, lang: Chosen = None, theme: Look = "classic", lines: Lines = ""
    ) -> Response:
        found = public_site(sites, site)
        keys = parse_lines(lines)
        snapshot = await snapshots.counts(found)
        picture = render_svg(snapshot.counts, lang or found.language, theme, keys)
        return cached(request, picture.encode(), SVG, COUNTS_CACHE)

    @router.get("/counts.html", summary="The block for an iframe")
    async def html(
        request: Request, site: str, lang: Chosen = None, theme: Look = "classic", lines: Lines = ""
    ) -> Response:
        found = public_site(sites, site)
        keys = parse_lines(lines)
        snapshot = await snapshots.counts(found)
        page = render_html(snapshot.counts, lang or found.language, theme, keys)
        return cached(request, page.encode(), HTML, COUNTS_CACHE)

    @router.get("/badge.svg", summary="One number as a picture")
    async def badge(
        request: Request, site: str, lang: Chosen = None, theme: Look = "classic", line: Number = "total"
    ) -> Response:
        found = public_site(sites, site)
        check_line(line)
        snapshot = await snapshots.counts(found)
        picture = render_badge(snapshot.counts, lang or found.language, theme, line)
        return cached(request, picture.encode(), SVG, COUNTS_CACHE)

    return router
