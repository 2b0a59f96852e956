"""`truycap api`: the api service alone, against real servers."""

from services.api.app import Api
from services.commands.workers import as_worker
from services.ingest.docs import openapi
from shared.running import running
from shared.serve import serve
from shared.server import Server
from shared.settings import Settings
from shared.web import create_web


async def run_api(settings: Settings, host: str, port: int, *, parent: int | None = None) -> None:
    """The api until a signal comes. parent: the process that this one is a worker of."""
    sites = settings.sites()
    async with running("api", settings, sites, port, spans=False) as ready:
        api = Api(settings, sites)
        # Behind one origin (docker-compose.yml) this /docs is the only one, so it tells of ingest's paths too.
        web = create_web("truycap", api.routers, {"api": api.ready}, [openapi()])
        try:
            await api.start()
            server, watch = Server(api.routes, cold=web), [*as_worker(parent), api.failed(), sites.watch()]
            await serve(server, host, port, share_port=bool(parent), drain=api.drain, watch=watch, ready=ready)
        finally:
            await api.stop()
