"""The pictures in docs/pictures, taken of running widgets in a real Chromium.

python -m tests.support.pictures
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from services.api.render import THEMES
from tests.browser.conftest import Reader, launch
from tests.support.counting import GOOGLEBOT, PERSON
from tests.support.portal import Portal
from tests.support.truycap import ROOT, Up

PICTURES = ROOT / "docs" / "pictures"
GUESTS, BOTS = 13, 8
_CONFIG = """
[[site]]
id = "demo"
hostnames = ["*"]
opening = { visits = 8390754, pageviews = 8390754 }
"""
_STYLE = """<style>
body { margin: 0; padding: 20px; display: flex; flex-wrap: wrap; gap: 20px; width: 1200px; font: 16px sans-serif }
section { display: grid; gap: 14px; align-content: start }
.dark { color-scheme: dark; background: #14181d; color: #e6e9ee }
</style>"""


def sheet(theme: str, scheme: str) -> str:
    """All elements of a theme, in both languages, at 180 and 360 pixels."""
    shows = "".join(
        f'<section lang={lang} style="width: {width}px">'
        + "".join(
            f"<truycap-{part} lang={lang} theme={theme}></truycap-{part}>" for part in ("counter", "views", "rating")
        )
        + "</section>"
        for width in (180, 360)
        for lang in ("vi", "en")
    )
    return f"{_STYLE}{shows}<script>document.body.className = '{scheme}'</script>"


def take_themes(up: Up, portal: Portal, browser: Browser) -> None:
    """A picture of each theme, light and dark."""
    reader = Reader(up, portal, "demo", browser, {"viewport": {"width": 1240, "height": 520}})
    for theme in THEMES:
        for scheme in ("light", "dark"):
            page = reader.open("/tin", sheet(theme, scheme), "widget.js")
            for block in page.locator("truycap-counter").all():
                expect(block).to_contain_text("8.390.76" if block.get_attribute("lang") == "vi" else "8,390,76")
            for rating in page.locator("truycap-rating").all():
                expect(rating.get_by_role("radio")).to_have_count(5)
            page.locator("truycap-rating").first.get_by_role("radio").nth(3).click()
            reader.pause(4)
            page.screenshot(path=PICTURES / f"{theme}{'-dark' if scheme == 'dark' else ''}.png", full_page=True)
            page.close()
    reader.context.close()


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, Portal() as portal:
        config = Path(folder) / "truycap.toml"
        config.write_text(_CONFIG, "utf-8")
        with Up(Path(folder) / "data", "--config", str(config)) as up:
            for number in range(GUESTS + BOTS):
                agent = f"{PERSON} {number}" if number < GUESTS else f"{GOOGLEBOT} {number}"
                up.fetch(f"/v1/pixel.gif?site=demo&url={up.url}/demo", user_agent=agent)
            browser = launch(playwright)
            page = browser.new_page(user_agent=PERSON, viewport={"width": 1280, "height": 900})
            page.goto(f"{up.url}/demo")
            block = page.locator("truycap-counter").first
            expect(block).to_contain_text("8.390.768")
            page.screenshot(path=PICTURES / "demo.png")
            block.screenshot(path=PICTURES / "block.png")
            page.close()
            take_themes(up, portal, browser)
            browser.close()


if __name__ == "__main__":
    main()
