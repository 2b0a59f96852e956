"""`truycap import access-log`: a web server's log as page views, through the same stream and counter as live events."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.importer.access_log import Dropped, Reason, events, read_lines, salt_of
from services.importer.publish import publish
from services.stores import Stores
from shared.delivery import read_delivery, until_counted
from shared.errors import SaidError
from shared.events import StreamEvent
from shared.streams import MAX_ENTRY_EVENTS

_EXPLAINED = {
    Reason.UNPARSABLE: "not in the combined log format",
    Reason.NOT_GET: "no GET",
    Reason.NOT_SUCCESSFUL: "not answered with 2xx",
    Reason.FEED: "feeds",
    Reason.NOT_A_PAGE: "images, styles, scripts, downloads",
    Reason.TOO_LONG: "addresses that are too long",
}
_REJECTED = {
    "in_the_future": "are dated in the future and were rejected",
    "expired": "are of months whose page views have left by age and were rejected: import a log before its months "
    "leave; a larger TRUYCAP_RETENTION_DAYS does not bring them back",
}
_IMPORTED = """
SELECT toUInt64(countIf(kind != 'bot')), toUInt64(sum(visit)), toUInt64(countIf(kind = 'bot'))
FROM events WHERE site = {site:String} AND source = 'import' AND entry_ms >= {since:UInt64}"""


async def import_access_log(stores: Stores, file: Path, site_id: str, console: Console) -> None:
    """Import the file and say what came of it; SaidError where some of it could not be counted."""
    site = stores.sites.find(site_id)
    shard = stores.sites.shard(site_id)
    salt = salt_of(file)
    delivered = await read_delivery(stores.redis, shard)
    second, microsecond = await stores.redis.time()
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
            if len(group) == MAX_ENTRY_EVENTS:
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
    parameters = {"site": site_id, "since": second * 1000 + microsecond // 1000}
    ((pageviews, visits, bots),) = await stores.store.query(_IMPORTED, parameters)
    lines = sent + dropped.total()
    console.print(f"{lines:,} lines: {sent:,} page requests, {dropped.total():,} others")
    for reason, number in dropped.most_common():
        console.print(f"  {number:>9,}  {_EXPLAINED[reason]}")
    console.print(
        f"New: {pageviews:,} page views in {visits:,} visits, {bots:,} bot hits; known: {sent - pageviews - bots:,}"
    )
    delivery = await read_delivery(stores.redis, shard)
    for rejected, explained in _REJECTED.items():
        if number := delivery.rejected.get(rejected, 0) - delivered.rejected.get(rejected, 0):
            console.print(f"  {number:>9,}  of these {explained}")
    if dead := delivery.dead - delivered.dead:
        console.print(
            f"  {dead:>9,}  of these could not be counted: see `truycap dead-letters list`, and whether the running "
            "truycap has the same truycap.toml. Then: truycap dead-letters replay"
        )
        raise SaidError(1)
