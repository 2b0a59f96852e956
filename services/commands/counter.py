"""`truycap counter`: the counter service alone, against real servers; health and metrics on its port."""

from services.counter.app import Counter
from shared.running import running
from shared.serve import serve
from shared.server import Server
from shared.settings import Settings
from shared.web import create_web


async def run_counter(settings: Settings, host: str, port: int) -> None:
    """The counter until a signal comes or counting fails."""
    sites = settings.sites()
    async with running("counter", settings, sites, port) as ready:
        counter = Counter(settings, sites)
        web = create_web("truycap counter", [], {"counter": counter.ready})
        try:
            await counter.start()
            await serve(Server(cold=web), host, port, watch=[counter.failed(), sites.watch()], ready=ready)
        finally:
            await counter.stop()
