"""In the gateway's place where there is no Docker: something that answers Prometheus as Caddy does, and can die."""

import re
import sys
from collections.abc import Sequence

from tests.support.servers import Server

_PROGRAM = """
import sys
from prometheus_client import start_http_server
server, thread = start_http_server(int(sys.argv[1]), "127.0.0.1")
print("listening on", server.server_port, flush=True)
thread.join()
"""


class GatewayServer(Server):
    _ready = re.compile(rb"listening on (\d+)\n")

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-c", _PROGRAM, str(self.port)]
