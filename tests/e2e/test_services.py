"""The services one by one, as processes of their own against real servers."""

import asyncio
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared.redis
from shared.streams import append, dead_key
from tests.support.counting import pageview
from tests.support.servers import ClickHouseServer, RedisServer, free_port
from tests.support.services import CONFIG, Services, running, until_total
from tests.support.truycap import run


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with running(tmp_path) as services:
        yield services


def until_known(services: Services, site: str) -> None:
    """Until ingest takes a view of the site, which is one."""
    ends = time.monotonic() + 15
    while True:
        try:
            assert services.view(site, "v") == 202
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < ends, f"{site} stays unknown"
            time.sleep(0.1)
        else:
            return


def test_services_of_their_own_count_together_and_outlive_each_others_death(services: Services) -> None:
    for number in range(20):
        assert services.view("hanoi", f"v{number}") == 202
        assert services.view("hue", f"v{number}") == 202
    until_total(services, "hanoi", 20)
    with pytest.raises(urllib.error.HTTPError) as refused:
        services.get("api", "/v1/sites/hue/counts")
    with refused.value:
        assert refused.value.code == 403

    with Path(services.environment["TRUYCAP_CONFIG"]).open("a", encoding="utf-8") as config:
        config.write('[[site]]\nid = "vinh"\nhostnames = ["*"]\n')
    until_known(services, "vinh")
    until_total(services, "vinh", 1)  # without a restart of any of them, and not one dead letter

    services.processes["counter"].kill()
    for number in range(20, 25):
        assert services.view("hanoi", f"v{number}") == 202
    until_total(services, "hanoi", 25)  # the other counter has taken the shards over

    checked = run("verify", environment=services.environment)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    codes = services.stop()
    assert {name: code for name, code in codes.items() if name != "counter"} == {"ingest": 0, "counter2": 0, "api": 0}


async def test_a_counter_that_can_count_nothing_ends_with_one_line(tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text(CONFIG, "utf-8")
    with RedisServer(tmp_path / "redis") as server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        environment = {
            "TRUYCAP_REDIS_URL": server.url,
            "TRUYCAP_CLICKHOUSE_DSN": clickhouse.dsn + "truycap",
            "TRUYCAP_CONFIG": str(config),
        }
        assert run("migrate", environment=environment).returncode == 0
        redis = shared.redis.client(server.url)
        await append(redis, 0, [pageview("removed") for _ in range(101)])
        done = await asyncio.to_thread(run, "counter", "--port", str(free_port()), environment=environment)
        assert done.returncode == 1, done.stderr
        said = [line for line in done.stderr.strip().splitlines() if '"level": "info"' not in line]
        assert len(said) == 1, done.stderr
        assert said[0].startswith("truycap: Counting stops: a batch of shard 0 has 101 dead letters")
        assert await redis.exists(dead_key(0)) == 0
        await redis.aclose()


def test_a_service_without_its_server_says_so_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text(CONFIG, "utf-8")
    nowhere = {"TRUYCAP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "TRUYCAP_CONFIG": str(config)}
    for command in ("ingest", "counter", "api"):
        done = run(command, "--port", str(free_port()), environment=nowhere)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "No Redis answers" in done.stderr
        assert "TRUYCAP_REDIS_URL" in done.stderr
