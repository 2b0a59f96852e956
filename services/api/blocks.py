"""The cold paths of the api that show the read model: items, and the block without JavaScript."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.api.cached import cached
from services.api.live import COUNTS_CACHE, public_site
from services.api.render import render_html, render_svg
from services.api.snapshots import Snapshots
from shared.events import item_of
from shared.sites import Language, Sites

Path = Annotated[str, Query(min_length=1, max_length=2048, description="The article's path, or its address.")]


def blocks(sites: Sites, snapshots: Snapshots) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/sites/{site}", tags=["counts"])

    @router.get("/items", summary="Views, readers now and rating of an article")
    async def items(request: Request, site: str, path: Path) -> Response:
        body = msgspec.json.encode(await snapshots.item(public_site(sites, site), item_of(path)))
        return cached(request, body, "application/json", COUNTS_CACHE)

    @router.get("/counts.svg", summary="The block as a picture")
    async def svg(request: Request, site: str, lang: Language | None = None) -> Response:
        found = public_site(sites, site)
        snapshot = await snapshots.counts(found)
        picture = render_svg(snapshot.counts, lang or found.language)
        return cached(request, picture.encode(), "image/svg+xml", COUNTS_CACHE)

    @router.get("/counts.html", summary="The block for an iframe")
    async def html(request: Request, site: str, lang: Language | None = None) -> Response:
        found = public_site(sites, site)
        snapshot = await snapshots.counts(found)
        page = render_html(snapshot.counts, lang or found.language)
        return cached(request, page.encode(), "text/html; charset=utf-8", COUNTS_CACHE)

    return router
