"""`truycap ingest`, `counter`, `api`, `migrate`: one service alone, against real servers."""

from collections.abc import Coroutine
from typing import Any

from rich.console import Console

from services.api.app import Api
from services.commands.workers import parent_gone
from services.counter.app import Counter
from services.ingest.app import Ingest
from services.ingest.docs import openapi
from shared.clickhouse import ClickHouse
from shared.http import Server
from shared.schema import migrate, pending
from shared.serve import serve
from shared.settings import Settings
from shared.web import create_web


async def run_ingest(settings: Settings, host: str, port: int, *, share_port: bool = False) -> None:
    """Ingest until a signal comes. share_port: as one of several workers."""
    ingest = Ingest(settings, settings.sites())
    web = create_web("truycap ingest", [], {"ingest": ingest.ready}, [openapi()])
    try:
        await ingest.start()
        await serve(Server(ingest.routes, cold=web), host, port, share_port=share_port, watch=_watch(share_port))
    finally:
        await ingest.stop()


async def run_api(settings: Settings, host: str, port: int, *, share_port: bool = False) -> None:
    """The api until a signal comes. share_port: as one of several workers."""
    api = Api(settings, settings.sites())
    web = create_web("truycap api", api.routers, {"api": api.ready})
    try:
        await api.start()
        server, watch = Server(api.routes, cold=web), _watch(share_port)
        await serve(server, host, port, share_port=share_port, drain=api.drain, watch=watch)
    finally:
        await api.stop()


async def run_counter(settings: Settings, host: str, port: int) -> None:
    """The counter until a signal comes or counting fails; health and metrics on the port."""
    counter = Counter(settings, settings.sites())
    web = create_web("truycap counter", [], {"counter": counter.ready})
    try:
        await counter.start()
        await serve(Server(cold=web), host, port, watch=[counter.failed()])
    finally:
        await counter.stop()


def _watch(share_port: bool) -> list[Coroutine[Any, Any, None]]:
    return [parent_gone()] if share_port else []


async def run_migrate(settings: Settings, console: Console, *, dry_run: bool) -> None:
    """Create or update the schema, or only say what would be done."""
    store = await ClickHouse.connect(settings.clickhouse_dsn)
    try:
        found = await pending(store) if dry_run else await migrate(store, settings.shards)
    finally:
        await store.close()
    for migration in found:
        console.print(f"{'would apply' if dry_run else 'applied'} {migration.version:04d} {migration.name}")
    if not found:
        console.print("The schema is up to date.")
