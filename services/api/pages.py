"""The files a portal's visitors load: the widget, and the demo portal that embeds it."""

import gzip
from importlib import resources

from fastapi import APIRouter, Request, Response

from services.api.cached import cached
from services.api.labels import LABELS
from services.api.render import THEMES, template
from shared.errors import TruycapError
from shared.sites import Sites

_DEMO = "/demo"
_THEMES = "/demo/themes"


class NoPartError(TruycapError):
    """An element asked for a theme that there is not."""

    code = "not_found"
    status = 404


class NoDemoError(TruycapError):
    """There is no such page of the demo, or no demo at all."""

    code = "not_found"
    status = 404


class Page:
    """One file as it is answered, ready at start."""

    def __init__(self, body: bytes, media_type: str, cache_control: str) -> None:
        self._body = body
        self._packed = gzip.compress(body, 9, mtime=0)
        self._media_type = media_type
        self._cache_control = cache_control

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has it already."""
        return cached(request, self._body, self._media_type, self._cache_control, self._packed)


def pages(sites: Sites, demo_site: str | None) -> APIRouter:
    """GET /widget.js, and /demo for the site `demo_site` (None: 404). UnknownSiteError where it is not configured."""
    router = APIRouter(tags=["pages"])
    scripts = _scripts()
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
    async def widget(request: Request) -> Response:
        return scripts["widget.js"].answer(request)

    @router.get("/t.js", summary="The tracker alone, for pages that show no numbers")
    async def tracker(request: Request) -> Response:
        return scripts["t.js"].answer(request)

    @router.get("/w/{name}", summary="What an element needs: the code of a part, a theme")
    async def part(request: Request, name: str) -> Response:
        if not (script := scripts.get(f"w/{name}")):
            raise NoPartError(f"There is no {name[:40]!r}; themes are {', '.join(THEMES)}.")
        return script.answer(request)

    @router.get(_DEMO, summary="A portal page that embeds the widget")
    async def front(request: Request) -> Response:
        return find(_DEMO).answer(request)

    @router.get(_THEMES, summary="Every element of the widget in every theme")
    async def themes(request: Request) -> Response:
        return find(_THEMES).answer(request)

    @router.get(f"{_DEMO}/{{article}}", summary="Another article of the demo portal")
    async def article(request: Request, article: str) -> Response:
        return find(f"{_DEMO}/{article}").answer(request)

    return router


def _scripts() -> dict[str, Page]:
    """What services/api/widget/build.mjs has built, by path."""
    dist = resources.files("services.api").joinpath("widget/dist")
    paths = ["t.js", "widget.js", *(f"w/{file.name}" for file in dist.joinpath("w").iterdir())]
    cache_control = "public, max-age=300, stale-while-revalidate=3600"
    scripts = {
        path: Page(dist.joinpath(path).read_bytes(), "application/javascript; charset=utf-8", cache_control)
        for path in paths
    }
    return scripts | {"w/.js": scripts[f"w/{THEMES[0]}.js"]}  # an element that names no theme


def _demo(site: str) -> dict[str, Page]:
    """The demo's pages by path: one for each article of the template, and the one of the themes."""
    demo = template("widget/demo.html.jinja")
    notes = {language: labels["demo"] for language, labels in LABELS.items()}
    values = {"site": site, "notes": notes, "portal": template("widget/portal.html.jinja")}
    # The articles stand in the template alone; as a module it tells which there are.
    articles = vars(demo.make_module({**values, "path": _DEMO}))["articles"]
    html = {path: demo.render(**values, path=path) for path in articles}
    themes = template("widget/themes.html.jinja")
    html[_THEMES] = themes.render(**values, path=_THEMES, articles=articles, themes=THEMES)
    return {path: Page(text.encode(), "text/html; charset=utf-8", "no-cache") for path, text in html.items()}
