"""`truycap up` as a portal's owner tries it: the demo in a real browser, the totals after everything was killed."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from redis import Redis

from services.embedded.folder import Folder
from shared.streams import encode_entry, events_key
from tests.support.counting import GOOGLEBOT, PERSON, pageview
from tests.support.servers import free_port
from tests.support.truycap import Up, run

COUNTS = "/v1/sites/demo/counts"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up") / "data") as running:
        yield running


def visitor(chromium: Browser) -> BrowserContext:
    """A browser profile of a person: as it is, a headless Chromium says so and is counted as a bot."""
    return chromium.new_context(locale="vi-VN", user_agent=PERSON)


def test_the_demo_counts_itself_and_a_second_profile_a_bot_and_kill_9_change_it_rightly(
    up: Up, chromium: Browser
) -> None:
    first = visitor(chromium)
    page = first.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{up.url}/demo")
    one = {"online.total": 1, "visits.today": 1, "pageviews.today": 1, "visits.total": 1}
    up.wait_for(COUNTS, one, seconds=10)
    counter = page.locator("truycap-counter").first
    for label in ("Đang truy cập", "Hôm nay", "Tháng hiện tại", "Tổng lượt truy cập"):
        expect(counter).to_contain_text(f"{label}")
    expect(counter).to_contain_text("1")

    second = visitor(chromium)
    second.new_page().goto(f"{up.url}/demo")
    up.wait_for(COUNTS, {"online.total": 2, "online.guests": 2, "visits.today": 2}, seconds=10)

    assert up.fetch(f"/v1/pixel.gif?site=demo&url={up.url}/demo", user_agent=GOOGLEBOT) == 200
    up.wait_for(COUNTS, {"online.bots": 1, "visits.today": 2, "pageviews.today": 2}, seconds=10)
    expect(counter).to_contain_text("Máy chủ tìm kiếm", timeout=5000)  # live, without a reload

    before = up.get(COUNTS)
    up.kill()
    up.start()
    after = up.get(COUNTS)
    assert (after["visits"], after["pageviews"]) == (before["visits"], before["pageviews"])
    assert problems == []
    first.close()
    second.close()


def test_numbers_stand_in_vietnamese_format(up: Up, chromium: Browser, tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text('[[site]]\nid = "caobang"\nhostnames = ["*"]\nopening = { visits = 8390768 }\n', "utf-8")
    with Up(tmp_path / "data", "--config", str(config)) as other:
        page = visitor(chromium).new_page()
        page.route(
            f"{other.url}/portal",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f'<script async src="{other.url}/widget.js" data-site="caobang"></script>'
                "<truycap-counter></truycap-counter>",
            ),
        )
        page.goto(f"{other.url}/portal")
        expect(page.locator("truycap-counter")).to_contain_text("8.390.769")
        page.close()


def test_a_vote_is_counted_and_can_be_changed(up: Up, chromium: Browser) -> None:
    page = visitor(chromium).new_page()
    page.goto(f"{up.url}/demo")
    stars = page.locator("truycap-rating").get_by_role("radio")
    expect(stars).to_have_count(5)
    stars.nth(3).check(force=True)
    item = "/v1/sites/demo/items?path=/demo"
    up.wait_for(item, {"rating.points": 4, "rating.votes": 1}, seconds=3)
    stars.nth(1).check(force=True)
    up.wait_for(item, {"rating.points": 2, "rating.votes": 1, "rating.average": 2.0}, seconds=3)
    page.close()


def test_commands_reach_the_stores_of_a_running_truycap(up: Up) -> None:
    sample = Path(__file__).parents[1] / "data" / "access_log_sample.gz"
    data = ["--data", str(up.data)]
    imported = run("import", "access-log", str(sample), "--site", "demo", *data)
    assert imported.returncode == 0, imported.stderr
    assert "28 page requests" in imported.stdout
    again = run("import", "access-log", str(sample), "--site", "demo", *data)
    assert "New: 0 page views in 0 visits, 0 bot hits; known: 28" in again.stdout
    checked = run("verify", *data)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for command in ("rebuild", "rebuild --store"):
        rebuilt = run(*command.split(), *data)
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        assert run("verify", *data).returncode == 0


@pytest.mark.parametrize("path", ["/v1/sites/demo/counts.svg", "/v1/sites/demo/counts.html", "/docs", "/metrics"])
def test_pages_answer(up: Up, path: str) -> None:
    assert up.fetch(path) == 200


def test_what_is_in_the_way_is_one_line_and_exit_code_2(up: Up, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('[[site]]\nid = "a"\nhostname = ["a.vn"]\n', "utf-8")
    port, other = str(up.port), str(free_port())
    for arguments, words in (
        (["--port", port, "--data", str(tmp_path / "a")], ["Cannot listen", port, "--port"]),
        (["--port", other, "--data", str(up.data)], ["in use by process", "--data"]),
        (["--port", other, "--data", str(broken)], ["cannot be used"]),
        (["--port", other, "--config", str(broken)], ["line 3", "hostname", "allowed"]),
        (["--port", other, "--config", str(tmp_path / "no.toml")], ["cannot be read", "--config"]),
        (["--prot", other], ["--prot", "--help"]),
        (["--port", "x"], ["--port"]),
    ):
        done = run("up", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert all(word in done.stderr for word in words), done.stderr
    done = run("ingest", "--port", other, environment={"TRUYCAP_CONFIG": str(broken)})
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    done = run("up", "--port", other, environment={"TRUYCAP_REDIS_ULR": "x"})
    assert (done.returncode, "TRUYCAP_REDIS_URL" in done.stderr) == (2, True)


def test_verify_fails_after_a_row_was_deleted_behind_its_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Up(data) as up:
        up.fetch("/v1/pixel.gif?site=demo&url=http://x.vn/a")
        up.wait_for(COUNTS, {"online.bots": 1}, seconds=3)
    assert run("verify", "--data", str(data)).returncode == 0
    store = str(data / "clickhouse")
    deleting = f"import chdb; chdb.connect({store!r}).query('DELETE FROM truycap.events WHERE 1')"
    subprocess.run([sys.executable, "-c", deleting], check=True, timeout=60)
    checked = run("verify", "--data", str(data))
    assert checked.returncode == 1
    assert "1 events were counted, ClickHouse has 0 rows" in checked.stdout


def test_rebuild_store_mends_what_stands_twice_while_it_runs_and_idle(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up, at = Up(data), ["--data", str(data)]
    for number in (1, 2):
        with up:
            assert up.fetch(f"/v1/pixel.gif?site=demo&url=http://x.vn/{number}", user_agent=PERSON) == 200
            up.wait_for(COUNTS, {"pageviews.total": number}, seconds=3)
        store = str(data / "clickhouse")
        doubling = (
            f"import chdb; chdb.connect({store!r}).query('INSERT INTO truycap.events SELECT * FROM truycap.events')"
        )
        subprocess.run([sys.executable, "-c", doubling], check=True, timeout=60)
        if number == 1:
            with up:
                checked = run("verify", *at)
                assert (checked.returncode, "`truycap rebuild --store`" in checked.stdout) == (1, True)
                mended = run("rebuild", "--store", *at)
                assert "dropped 1 rows" in mended.stdout, mended.stdout + mended.stderr
                assert run("verify", *at).returncode == 0
    assert "dropped 2 rows" in run("rebuild", "--store", *at).stdout
    assert run("verify", *at).returncode == 0


def test_it_ends_with_one_line_where_nothing_can_be_counted(tmp_path: Path) -> None:
    poison: Any = encode_entry([pageview("removed") for _ in range(101)])._asdict()
    with Up(tmp_path / "data") as up:
        before = up.output
        # Not asyncio's client: in this process Playwright has a loop running.
        with Redis.from_url(Folder(up.data).redis_url) as redis:
            redis.xadd(events_key(0), poison)
        assert up.wait() == 1
        lines = up.output.removeprefix(before).strip().splitlines()
        said = [line for line in lines if '"level": "info"' not in line]
        assert len(said) == 1, said
        assert said[0].startswith("truycap: Counting stops: a batch of shard 0 has 101 dead letters")


def test_it_stops_within_ten_seconds_with_live_clients(tmp_path: Path) -> None:
    up = Up(tmp_path / "data").start()
    ended = threading.Event()

    def listen() -> None:
        with urllib.request.urlopen(f"{up.url}/v1/sites/demo/live", timeout=30) as stream:
            while stream.read(1):
                pass
        ended.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert up.stop() == 0
    assert time.monotonic() - started < 10
    assert ended.wait(5)
