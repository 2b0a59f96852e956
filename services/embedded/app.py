"""`truycap up`: Redis as a child, chDB, and the three services in one process on one port."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from services.api.app import Api
from services.counter.app import Counter
from services.embedded.folder import Folder
from services.embedded.redis_child import RedisChild, find_binary
from services.embedded.store_socket import open_store_socket
from services.ingest.app import Ingest
from services.ingest.docs import openapi
from services.stores import DEMO, embedded_settings, embedded_sites
from shared import log
from shared.clickhouse import ClickHouse
from shared.ending import LAST_SECONDS, within
from shared.running import running
from shared.schema import Migration, migrate
from shared.serve import serve
from shared.server import Server, check_port
from shared.web import create_web

logger = log.get(__name__)


def _say(migration: Migration, number: int) -> None:
    if number == 1:
        logger.info("updates the schema", migration=migration.name)


async def up(host: str, port: int, data: Path, config: Path | None, started: Callable[[Folder, str], None]) -> None:
    """Run everything until SIGTERM or SIGINT. started: called once all is ready, with a site to show the snippet of."""
    folder = Folder(data)
    settings = embedded_settings(folder, config)
    sites = embedded_sites(settings)
    check_port(host, port)
    folder.create()
    async with AsyncExitStack() as stack:  # what was started last is stopped first
        stack.enter_context(folder.locked())
        ready = await stack.enter_async_context(running("up", settings, sites, port))

        child = RedisChild(folder, find_binary(folder))
        stack.push_async_callback(child.stop)
        await child.start()

        store = await ClickHouse.connect(settings.clickhouse_dsn)
        stack.push_async_callback(store.close)
        await migrate(store, settings.shards, _say)
        await stack.enter_async_context(open_store_socket(store, folder.store_socket))

        ingest, counter = Ingest(settings, sites), Counter(settings, sites, alone=True)
        api = Api(settings, sites, demo_site=DEMO.id)
        stack.push_async_callback(lambda: within(LAST_SECONDS, api.stop(), counter.stop(), ingest.stop()))
        for service in (api, counter, ingest):
            await service.start()

        def runs() -> None:
            ready()
            started(folder, next((site for site in sites if site != DEMO.id), DEMO.id))

        checks = {"ingest": ingest.ready, "counter": counter.ready, "api": api.ready}
        web = create_web("truycap", api.routers, checks, [openapi()])
        await serve(
            Server(ingest.routes, api.routes, cold=web),
            host,
            port,
            drain=api.drain,
            watch=[child.watch(), ingest.failed(), counter.failed(), api.failed(), sites.watch()],
            ready=runs,
        )
