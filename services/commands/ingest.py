"""`truycap ingest`: the ingest service alone, against real servers."""

from services.commands.workers import as_worker
from services.ingest.app import Ingest
from services.ingest.docs import openapi
from shared.running import running
from shared.serve import serve
from shared.server import Server
from shared.settings import Settings
from shared.web import create_web


async def run_ingest(settings: Settings, host: str, port: int, *, parent: int | None = None) -> None:
    """Ingest until a signal comes. parent: the process that this one is a worker of."""
    sites = settings.sites()
    async with running("ingest", settings, sites, port) as ready:
        ingest = Ingest(settings, sites)
        web = create_web("truycap ingest", [], {"ingest": ingest.ready}, [openapi()])
        try:
            await ingest.start()
            server, watch = Server(ingest.routes, cold=web), [*as_worker(parent), ingest.failed(), sites.watch()]
            await serve(server, host, port, share_port=bool(parent), watch=watch, ready=ready)
        finally:
            await ingest.stop()
