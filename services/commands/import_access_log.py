"""`truycap import access-log`: a web server's log as page views, through the same stream and counter as live events."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.importer.access_log import Dropped, Reason, events, read_lines, salt_of
from services.importer.publish import ENTRY_EVENTS, publish
from services.stores import Stores
from shared.delivery import read_delivery, until_counted
from shared.errors import SaidError
from shared.events import StreamEvent

_EXPLAINED = {
    Reason.UNPARSABLE: "not in the combined log format",
    Reason.NOT_GET: "no GET",
    Reason.NOT_SUCCESSFUL: "not answered with 2xx",
    Reason.FEED: "feeds",
    Reason.NOT_A_PAGE: "images, styles, scripts, downloads",
    Reason.TOO_LONG: "addresses that are too long",
}
_IMPORTED = """
SELECT toUInt64(countIf(kind != 'bot')), toUInt64(sum(visit)), toUInt64(countIf(kind = 'bot'))
FROM events WHERE site = {site:String} AND source = 'import'"""


async def import_access_log(stores: Stores, file: Path, site_id: str, console: Console) -> None:
    """Import the file and say what came of it; SaidError where some of it could not be counted."""
    site = stores.sites.find(site_id)
    shard = stores.sites.shard(site_id)
    salt = salt_of(file)
    delivered = await read_delivery(stores.redis, shard)
    before = await _imported(stores, site_id)
    dropped: Counter[Reason] = Counter()
    sent = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        reading = progress.add_task("Reading", total=file.stat().st_size)
        group: list[StreamEvent] = []
        for event in events(read_lines(file, lambda at: progress.update(reading, completed=at)), site, salt):
            if isinstance(event, Dropped):
                dropped[event.reason] += 1
                continue
            group.append(event)
            if len(group) == ENTRY_EVENTS:
                sent += len(group)
                await publish(stores.redis, shard, group)
                group = []
        sent += len(group)
        await publish(stores.redis, shard, group)
        progress.update(reading, completed=file.stat().st_size)
        counting = progress.add_task("Counting", total=None)
        async for waiting in until_counted(stores.redis, shard):
            progress.update(counting, description=f"Counting ({waiting} entries wait)")
        progress.update(counting, total=1, completed=1, description="Counting")
    after = await _imported(stores, site_id)
    pageviews, visits, bots = (now - then for now, then in zip(after, before, strict=True))
    lines = sent + dropped.total()
    console.print(f"{lines:,} lines: {sent:,} page requests, {dropped.total():,} others")
    for reason, number in dropped.most_common():
        console.print(f"  {number:>9,}  {_EXPLAINED[reason]}")
    console.print(
        f"New: {pageviews:,} page views in {visits:,} visits, {bots:,} bot hits; known: {sent - pageviews - bots:,}"
    )
    delivery = await read_delivery(stores.redis, shard)
    if late := delivery.rejected.get("in_the_future", 0) - delivered.rejected.get("in_the_future", 0):
        console.print(f"  {late:>9,}  of these are dated in the future and were rejected")
    if dead := delivery.dead - delivered.dead:
        console.print(
            f"  {dead:>9,}  of these could not be counted: see `truycap dead-letters list`, and whether the running "
            "truycap has the same truycap.toml. Then: truycap dead-letters replay"
        )
        raise SaidError(1)


async def _imported(stores: Stores, site_id: str) -> tuple[int, int, int]:
    ((pageviews, visits, bots),) = await stores.store.query(_IMPORTED, {"site": site_id})
    return int(pageviews), int(visits), int(bots)
