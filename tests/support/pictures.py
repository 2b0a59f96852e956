"""The pictures in docs/pictures, taken of the running demo in a real Chromium.

python -m tests.support.pictures
"""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.e2e.conftest import launch
from tests.support.counting import PERSON
from tests.support.truycap import ROOT, Up

PICTURES = ROOT / "docs" / "pictures"
_CONFIG = """
[[site]]
id = "demo"
hostnames = ["*"]
opening = { visits = 8390767, pageviews = 8390767 }
"""


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        config = Path(folder) / "truycap.toml"
        config.write_text(_CONFIG, "utf-8")
        with Up(Path(folder) / "data", "--config", str(config)) as up:
            browser = launch(playwright)
            page = browser.new_page(user_agent=PERSON, viewport={"width": 1280, "height": 900})
            page.goto(f"{up.url}/demo")
            expect(page.locator("truycap-counter").first).to_contain_text("8.390.768")
            page.screenshot(path=PICTURES / "demo.png")
            page.locator("truycap-counter").first.screenshot(path=PICTURES / "block.png")
            browser.close()


if __name__ == "__main__":
    main()
