"""Sites that are taken out while somebody looks at their numbers."""

from pathlib import Path

from redis.asyncio import Redis

from services.api.snapshots import Snapshots
from shared.clock import wall_clock_ms
from shared.readmodel import counts_key
from shared.watch import WatchedSites
from tests.support.counting import HANOI, until


async def test_the_numbers_of_the_other_sites_go_on(redis: Redis, tmp_path: Path) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text("", "utf-8")
    sites = WatchedSites(config, 1, beside=[HANOI])
    config.write_text('[[site]]\nid = "kolkata"\nhostnames = ["*"]\n', "utf-8")
    await sites.look()
    snapshots = Snapshots(redis, sites, wall_clock_ms)
    await snapshots.start()
    try:
        for site in list(sites.values()):
            await snapshots.counts(site)
        config.write_text("", "utf-8")
        await sites.look()
        assert list(sites) == ["hanoi"]

        async def total() -> int:
            return int((await snapshots.counts(HANOI)).counts["visits"]["total"])

        for number in (7, 8):  # the first may be seen by a reading that had begun before
            await redis.hset(counts_key(0, "hanoi"), "visits:total", str(number))

            async def shown(number: int = number) -> bool:
                return await total() == number

            await until(shown, "what was counted is shown")
    finally:
        await snapshots.stop()
