"""A real Chromium for tests of pages, a truycap with a site for each test, and a portal that embeds it."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, sync_playwright

from tests.support.counting import PERSON
from tests.support.portal import Portal
from tests.support.truycap import Up

# The browser of the system: no download, and nothing of it goes online by itself.
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SITES = 120
CHANGED = "document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"
FULL = """if (location.protocol == 'http:') for (const store of [localStorage, sessionStorage])
  for (let size = 4e6; size >= 1; size = Math.floor(size / 2))
    try { for (;;) store[Math.random()] = 'x'.repeat(size) } catch {}"""
"""Fills a page's storage to the last byte."""


def executable() -> str:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "These tests need Chromium. On Debian and Ubuntu: apt install chromium"
    return path


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium, headless, with its back/forward cache, which Playwright switches off."""
    return playwright.chromium.launch(
        executable_path=executable(), args=QUIET, ignore_default_args=["--disable-back-forward-cache"]
    )


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A truycap with SITES sites, s0 and so on."""
    folder = tmp_path_factory.mktemp("counting")
    config = folder / "truycap.toml"
    config.write_text("".join(f'[[site]]\nid = "s{n}"\nhostnames = ["127.0.0.1"]\n' for n in range(SITES)), "utf-8")
    with Up(folder / "data", "--config", str(config)) as up:
        yield up


@dataclass
class Reader:
    """A browser profile of a person on a portal that counts for `site`."""

    up: Up
    portal: Portal
    site: str
    browser: Browser
    options: dict[str, Any] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    """Events as they were sent, in order, those that did not arrive too."""
    problems: list[str] = field(default_factory=list)
    """Exceptions in pages."""
    console: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context: BrowserContext = self.browser.new_context(user_agent=PERSON, locale="vi-VN", **self.options)
        self.context.on("request", self._note)
        self.context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.context.on("console", lambda message: self.console.append(message.text))

    def _note(self, request: Request) -> None:
        if request.url.endswith("/v1/events") and request.post_data:
            self.sent.append(json.loads(request.post_data))

    def script(self, name: str = "t.js", **data: str) -> str:
        """The element that embeds a script."""
        more = "".join(f' data-{key}="{value}"' for key, value in data.items())
        return f'<script async src="{self.up.url}/{name}" data-site="{self.site}"{more}></script>'

    def add(self, path: str = "/bai", body: str = "", script: str = "t.js", **headers: str) -> str:
        """A page with the script; its address."""
        return self.portal.add(path, self.script(script) + body, **headers)

    def open(self, path: str = "/bai", body: str = "", script: str = "t.js", **headers: str) -> Page:
        """A new tab with a page that embeds the script."""
        page = self.context.new_page()
        page.goto(self.add(path, body, script, **headers))
        return page

    @property
    def kept(self) -> str:
        """The events that wait in the browser, as an expression of a page's script."""
        return f"JSON.parse(localStorage['truycap-{self.site}.1'] || '[]')"

    def counts(self) -> Any:
        return self.up.get(f"/v1/sites/{self.site}/counts")

    def item(self, path: str) -> Any:
        return self.up.get(f"/v1/sites/{self.site}/items?path={quote(path, safe='')}")

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == kind]

    def expect_views(self, number: int, visits: int = 1) -> None:
        """So many page views are counted, and no more come."""
        self.wait_until(lambda: self.counts()["pageviews"]["total"] >= number, f"{number} page views")
        self.pause(0.9)  # the counter begins a batch half a second after one of few events
        counts = self.counts()
        assert (counts["pageviews"]["total"], counts["visits"]["total"]) == (number, visits), self.sent

    def pause(self, seconds: float) -> None:
        """Wait while what happens in the browser is noted, which a plain sleep would put off."""
        self.context.pages[0].wait_for_timeout(seconds * 1000)

    def wait_until(self, done: Callable[[], object], what: str) -> None:
        """Wait until something holds, while what happens in the browser is noted."""
        wait_until(done, what, pause=self.pause)


def wait_until(
    done: Callable[[], object], what: str, seconds: float = 8, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        pause(0.05)


@pytest.fixture(scope="session")
def sites() -> Iterator[str]:
    """The ids of `counting`, each to be used once."""
    return (f"s{number}" for number in range(SITES))


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


@pytest.fixture
def readers(counting: Up, portal: Portal, chromium: Browser, sites: Iterator[str]) -> Iterator[Callable[..., Reader]]:
    """Makes readers of one site that no other test uses; what their pages threw fails the test."""
    site = next(sites)
    made: list[Reader] = []

    def make(**options: Any) -> Reader:
        made.append(Reader(counting, portal, site, chromium, options))
        return made[-1]

    yield make
    for reader in made:
        reader.context.close()
    assert [problem for reader in made for problem in reader.problems] == []


@pytest.fixture
def reader(readers: Callable[..., Reader]) -> Reader:
    return readers()
