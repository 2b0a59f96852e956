"""The cold paths of the api that show the read model: items, and the block without JavaScript."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from services.api.live import ANY_ORIGIN, COUNTS_CACHE, public_site
from services.api.render import render_html, render_svg
from services.api.snapshots import Snapshots
from shared.events import item_of
from shared.sites import Language, Sites

_HEADERS = dict([ANY_ORIGIN, COUNTS_CACHE])


def blocks(sites: Sites, snapshots: Snapshots) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/sites/{site}", tags=["counts"])

    @router.get("/items", summary="Views, readers now and rating of an article")
    async def items(site: str, path: Annotated[str, Query(min_length=1, max_length=2048)]) -> Response:
        answer: dict[str, Any] = await snapshots.item(public_site(sites, site), item_of(path))
        return JSONResponse(answer, headers=_HEADERS)

    @router.get("/counts.svg", summary="The block as a picture")
    async def svg(request: Request, site: str, lang: Language | None = None) -> Response:
        found = public_site(sites, site)
        snapshot = await snapshots.counts(found)
        language = lang or found.language
        return _cached(request, snapshot.etag, language) or Response(
            render_svg(snapshot.counts, language), headers=_tagged(snapshot.etag, language), media_type="image/svg+xml"
        )

    @router.get("/counts.html", summary="The block for an iframe")
    async def html(request: Request, site: str, lang: Language | None = None) -> Response:
        found = public_site(sites, site)
        snapshot = await snapshots.counts(found)
        language = lang or found.language
        return _cached(request, snapshot.etag, language) or Response(
            render_html(snapshot.counts, language), headers=_tagged(snapshot.etag, language), media_type="text/html"
        )

    return router


def _tagged(etag: str, language: str) -> dict[str, str]:
    return {**_HEADERS, "etag": f'{etag[:-1]}-{language}"'}


def _cached(request: Request, etag: str, language: str) -> Response | None:
    headers = _tagged(etag, language)
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return None
