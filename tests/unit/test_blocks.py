"""The block without JavaScript over HTTP."""

from collections.abc import AsyncIterator
from typing import Any, cast
from xml.etree import ElementTree as ET

import pytest
from httpx import ASGITransport, AsyncClient

from services.api.blocks import article_of, blocks
from services.api.snapshots import Snapshot, Snapshots
from shared.sites import Site, Sites
from shared.web import create_web

SITES = Sites(
    [
        Site("caobang", ["portal.example.vn"]),
        Site("english", ["portal.example.vn"], language="en"),
        Site("closed", ["portal.example.vn"], public=False),
    ],
    shards=1,
)
PATHS = ("counts.svg", "counts.html", "badge.svg")
THEMES = ("classic", "minimal", "odometer")


class Numbers:
    """A read model that has these numbers for every site."""

    def __init__(self) -> None:
        self.total = 8390768

    async def counts(self, site: Site) -> Snapshot:
        counts: dict[str, Any] = {
            "site": site.id,
            "online": {"total": 22, "guests": 14, "members": 0, "bots": 8},
            "visits": {"today": 1256, "yesterday": 1301, "week": 4890, "month": 63536, "year": 700123}
            | {"total": self.total},
        }
        return Snapshot(counts, b"", "")


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
async def client(numbers: Numbers) -> AsyncIterator[AsyncClient]:
    app = create_web("api", [blocks(SITES, cast(Snapshots, numbers))], {})
    base = "http://counter.example/v1/sites/"
    async with AsyncClient(transport=ASGITransport(app), base_url=base) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_every_theme_shows_the_total(client: AsyncClient, path: str, theme: str) -> None:
    answer = await client.get(f"caobang/{path}", params={"theme": theme})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("text/html; charset=utf-8" if path.endswith("html") else "image/svg+xml")
    assert answer.headers["cache-control"] == "public, max-age=1, stale-while-revalidate=30"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "Tổng lượt truy cập" in answer.text
    assert ">8.390.768<" in answer.text
    if path.endswith("svg"):
        ET.fromstring(answer.content)


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_not_said_is_the_sites_language_and_classic(client: AsyncClient, path: str) -> None:
    plain = (await client.get(f"english/{path}")).text
    assert ">8,390,768<" in plain
    assert plain == (await client.get(f"english/{path}?lang=en&theme=classic")).text
    assert ">8.390.768<" in (await client.get(f"english/{path}?lang=vi")).text


@pytest.mark.parametrize("path", ["counts.svg", "counts.html"])
async def test_the_lines_are_those_that_are_asked_for(client: AsyncClient, path: str) -> None:
    text = (await client.get(f"caobang/{path}", params={"lines": "yesterday, total"})).text
    assert text.index(">1.301<") < text.index(">8.390.768<")
    assert "Hôm nay" not in text


async def test_a_badge_shows_the_line_that_is_asked_for_also_where_it_is_0(client: AsyncClient) -> None:
    svg = ET.fromstring((await client.get("caobang/badge.svg?line=members&lang=en")).content)
    assert svg.findtext("{http://www.w3.org/2000/svg}title") == "Members: 0"


@pytest.mark.parametrize("path", PATHS)
async def test_what_the_browser_has_is_not_sent_again(client: AsyncClient, numbers: Numbers, path: str) -> None:
    known = {"if-none-match": (await client.get(f"caobang/{path}")).headers["etag"]}
    answer = await client.get(f"caobang/{path}", headers=known)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", known["if-none-match"])
    assert (await client.get(f"caobang/{path}?theme=minimal", headers=known)).status_code == 200
    numbers.total += 1
    assert (await client.get(f"caobang/{path}", headers=known)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("theme=fancy", "theme: input should be 'classic', 'minimal' or 'odometer'"),
        ("theme=", "theme: input should be 'classic', 'minimal' or 'odometer'"),
        ("lang=fr", "lang: input should be 'vi' or 'en'"),
    ],
)
async def test_what_there_is_not_is_refused(client: AsyncClient, path: str, asked: str, message: str) -> None:
    answer = await client.get(f"caobang/{path}?{asked}")
    assert answer.status_code == 422
    assert answer.json() == {"error": {"code": "invalid", "message": message}}


@pytest.mark.parametrize(
    "asked", ["counts.svg?lines=total+todya", "counts.html?lines=todya", "badge.svg?line=todya", "badge.svg?line="]
)
async def test_a_line_that_there_is_not_is_named(client: AsyncClient, asked: str) -> None:
    answer = await client.get(f"caobang/{asked}")
    assert answer.status_code == 422
    word = "todya" if asked.endswith("todya") else ""
    assert f"'{word}' is unknown; there are online, members, " in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["theme", "lang", "lines", "line"])
async def test_nothing_hostile_gets_through(client: AsyncClient, path: str, name: str) -> None:
    answer = await client.get(f"caobang/{path}", params={name: '"><script>alert(1)</script>'})
    assert answer.headers["content-type"] in {"application/json", "text/html; charset=utf-8", "image/svg+xml"}
    assert answer.headers["content-type"] == "application/json" or "script" not in answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("site", "status"), [("hanoi", 404), ("closed", 403)])
async def test_only_public_sites_are_shown(client: AsyncClient, path: str, site: str, status: int) -> None:
    assert (await client.get(f"{site}/{path}")).status_code == status


@pytest.mark.parametrize(
    ("query", "item"),
    [
        ("lang=vi&lines=&path=/tin/a", "/tin/a"),
        ("path=/tin/a", "/tin/a"),
        ("lang=vi&path=/tin/a&b+c%26d", "/tin/a&b+c%26d"),
        ("path=https://portal.example.vn/tin/a?x=1", "/tin/a"),
        ("lang=vi&path=%2Ftin%2Fa", "/tin/a"),
        ("lang=vi", "/"),
    ],
)
def test_an_elements_path_is_the_last_parameter_as_it_stands(query: str, item: str) -> None:
    assert article_of(query) == item
