"""`truycap ingest`: the ingest service alone, against real servers."""

from services.commands.workers import as_worker
from services.ingest.app import Ingest
from services.ingest.docs import openapi
from shared.http import Server
from shared.serve import serve
from shared.settings import Settings
from shared.web import create_web


async def run_ingest(settings: Settings, host: str, port: int, *, share_port: bool = False) -> None:
    """Ingest until a signal comes. share_port: as one of several workers."""
    ingest = Ingest(settings, settings.sites())
    web = create_web("truycap ingest", [], {"ingest": ingest.ready}, [openapi()])
    try:
        await ingest.start()
        await serve(Server(ingest.routes, cold=web), host, port, share_port=share_port, watch=as_worker(share_port))
    finally:
        await ingest.stop()
