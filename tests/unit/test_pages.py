"""The widget's file and the demo portal over HTTP."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from markupsafe import escape

from services.api.labels import ONLINE, VISITS
from services.api.pages import pages
from services.api.render import THEMES
from shared.errors import UnknownSiteError
from shared.sites import Site, Sites
from shared.web import create_web

SITES = Sites([Site("caobang", ["portal.example.vn"])], shards=1)


def client_of(demo_site: str | None) -> AsyncClient:
    app = create_web("api", [pages(SITES, demo_site)], {})
    return AsyncClient(transport=ASGITransport(app), base_url="http://counter.example")


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with client_of("caobang") as client:
        yield client


async def test_the_widget_is_a_script_that_any_page_may_keep(client: AsyncClient) -> None:
    answer = await client.get("/widget.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/javascript; charset=utf-8"
    assert answer.headers["cache-control"].startswith("public, max-age=300, stale-while-revalidate=")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "truycap-" in answer.text


@pytest.mark.parametrize(
    "path", ["/widget.js", "/t.js", "/w/counter.js", "/w/classic.js", "/w/minimal.js", "/w/odometer.js"]
)
async def test_scripts_are_sent_packed_where_the_browser_takes_that(client: AsyncClient, path: str) -> None:
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    packed = await client.get(path, headers={"accept-encoding": "br, gzip"})
    assert plain.content == packed.content
    assert "content-encoding" not in plain.headers
    small = len(plain.content) < 150
    assert packed.headers.get("content-encoding") == (None if small else "gzip")
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"


async def test_a_part_or_theme_that_there_is_not_is_404(client: AsyncClient) -> None:
    answer = await client.get("/w/fancy.js")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "There is no 'fancy.js'; themes are classic, minimal, odometer."


@pytest.mark.parametrize("path", ["/widget.js", "/demo", "/demo/themes"])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}'])
async def test_what_the_browser_has_is_not_sent_again(client: AsyncClient, path: str, known: str) -> None:
    etag = (await client.get(path)).headers["etag"]
    etag = etag.removeprefix("W/")
    answer = await client.get(path, headers={"if-none-match": known.format(etag)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", f"W/{etag}")
    assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


async def test_the_demo_embeds_the_widget_for_its_site(client: AsyncClient) -> None:
    answer = await client.get("/demo")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<script async src="/widget.js" data-site="caobang"></script>' in answer.text
    for element in ("truycap-counter", "truycap-views", "truycap-rating"):
        assert f"<{element}></{element}>" in answer.text
    assert set(re.findall(r'(?:src|href)="([a-z]+:|//)', answer.text)) == {"data:"}


async def test_every_article_of_the_demo_is_a_page_of_its_own(client: AsyncClient) -> None:
    links = set(re.findall(r'href="(/demo[^"]*)"', (await client.get("/demo")).text))
    titles = {re.findall(r"<h1>(.+)</h1>", (await client.get(link)).text)[0] for link in links}
    assert len(links) == len(titles) >= 4


async def test_the_page_of_themes_shows_every_element_in_every_theme_and_language(client: AsyncClient) -> None:
    html = (await client.get("/demo/themes")).text
    assert '<script async src="/widget.js" data-site="caobang"></script>' in html
    for theme in THEMES:
        for language in ("vi", "en"):
            for element in ("truycap-counter", "truycap-views", "truycap-rating"):
                assert html.count(f'<{element} theme="{theme}" lang="{language}"></{element}>') == 2
        for piece in ("counts.svg?", "counts.html?", "badge.svg?line=total&amp;"):
            address = f'src="/v1/sites/caobang/{piece}theme={theme}"'
            assert address in html
            assert str(escape(address)) in html
    assert f'lines="{" ".join((*ONLINE, *VISITS))}"' in html


async def test_the_page_of_themes_and_the_articles_link_to_each_other(client: AsyncClient) -> None:
    assert '<a href="/demo/themes">Giao diện</a>' in (await client.get("/demo")).text
    html = (await client.get("/demo/themes")).text
    assert '<a href="/demo/themes" aria-current="page">' in html
    assert '<a href="/demo">Trang chủ</a>' in html


async def test_an_article_that_is_not_there_is_404(client: AsyncClient) -> None:
    answer = await client.get("/demo/khong-co")
    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "not_found", "message": "There is no /demo/khong-co here."}}


@pytest.mark.parametrize("path", ["/demo", "/demo/themes", "/demo/khong-co"])
async def test_without_a_demo_there_is_only_the_widget(path: str) -> None:
    async with client_of(None) as client:
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
        assert "truycap up" in answer.json()["error"]["message"]
        assert (await client.get("/widget.js")).status_code == 200


def test_a_demo_for_a_site_that_is_not_configured_is_refused_at_start() -> None:
    with pytest.raises(UnknownSiteError):
        pages(SITES, "hanoi")
