"""The files a portal's visitors load: the widget, and the demo portal that embeds it."""

from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources

from fastapi import APIRouter, Request, Response

from services.api.labels import LABELS
from services.api.render import template
from shared.errors import TruycapError
from shared.sites import Sites

_DEMO = "/demo"


class NoDemoError(TruycapError):
    """There is no such page of the demo, or no demo at all."""

    code = "not_found"
    status = 404


@dataclass(frozen=True)
class Page:
    """One file as it is answered, ready at start."""

    body: bytes
    media_type: str
    cache_control: str

    @property
    def etag(self) -> str:
        return f'"{blake2b(self.body, digest_size=8).hexdigest()}"'

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has it already."""
        # Any page may embed the widget, also one that demands CORP or uses crossorigin and integrity.
        headers = {
            "etag": self.etag,
            "cache-control": self.cache_control,
            "access-control-allow-origin": "*",
            "cross-origin-resource-policy": "cross-origin",
        }
        # Weak comparison (RFC 9110, 13.1.2): a proxy that compresses makes the tag weak.
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers={**headers, "content-type": self.media_type})


def pages(sites: Sites, demo_site: str | None) -> APIRouter:
    """GET /widget.js, and /demo for the site `demo_site` (None: 404). UnknownSiteError where it is not configured."""
    router = APIRouter(tags=["pages"])
    widget = Page(
        resources.files("services.api").joinpath("widget/widget.js").read_bytes(),
        "application/javascript; charset=utf-8",
        "public, max-age=300, stale-while-revalidate=86400",
    )
    demo = {} if demo_site is None else _demo(sites.find(demo_site).id)

    def find(path: str) -> Page:
        page = demo.get(path)
        if page is None:
            raise NoDemoError(f"There is no {path} here." if demo else "This server shows no demo; `truycap up` does.")
        return page

    @router.get("/", include_in_schema=False)
    async def root() -> Response:
        return Response(status_code=307, headers={"location": "/docs" if demo_site is None else _DEMO})

    @router.get("/widget.js", summary="The script that portal pages embed")
    async def script(request: Request) -> Response:
        return widget.answer(request)

    @router.get(_DEMO, summary="A portal page that embeds the widget")
    async def front(request: Request) -> Response:
        return find(_DEMO).answer(request)

    @router.get(f"{_DEMO}/{{article}}", summary="Another article of the demo portal")
    async def article(request: Request, article: str) -> Response:
        return find(f"{_DEMO}/{article}").answer(request)

    return router


def _demo(site: str) -> dict[str, Page]:
    """The demo's pages by path: one for each article of the template."""
    demo = template("widget/demo.html.jinja")
    notes = {language: labels["demo"] for language, labels in LABELS.items()}
    values = {"site": site, "notes": notes}
    # The articles stand in the template alone; as a module it tells which there are.
    paths = list(vars(demo.make_module({**values, "path": _DEMO}))["articles"])
    return {
        path: Page(demo.render(**values, path=path).encode(), "text/html; charset=utf-8", "no-cache") for path in paths
    }
