"""The gateway with a name: HTTPS and HTTP/2, and plain HTTP sent there.

The name is `localhost`, for which Caddy makes the certificate itself; that one is had from outside for a public name
is not proved here.
"""

import socket
import ssl
from http.client import HTTPConnection

from tests.compose.project import NAME, PORT, TLS_PORT, Project
from tests.compose.said import expect

_IMAGE = "caddy:2.11.4"


def check_tls(project: Project) -> None:
    _prepare_stand_in(project)
    project.compose("up", "--detach", "--wait", "gateway", GATEWAY_SITE="localhost")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", int(TLS_PORT)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        expect(
            "the gateway speaks HTTP/2 over TLS", (secure.selected_alpn_protocol(), secure.version()), ("h2", "TLSv1.3")
        )
    connection = HTTPConnection("127.0.0.1", int(PORT), timeout=5)
    connection.request("GET", "/", headers={"Host": "localhost"})
    answer = connection.getresponse()
    expect("plain HTTP is sent to HTTPS", (answer.status, answer.headers["Location"]), (308, "https://localhost/"))
    project.compose("up", "--detach", "--wait", "gateway")


def _prepare_stand_in(project: Project) -> None:
    """In the image that docker-compose.yml names, anybody may write to /data/caddy; another one may lack it."""
    version = project.docker("run", "--rm", "--entrypoint", "caddy", _IMAGE, "version")
    if not version.startswith(f"v{_IMAGE.partition(':')[2]} "):
        volume = f"{NAME}_gateway:/data"
        project.docker(
            "run", "--rm", "--user", "0", "--volume", volume, "--entrypoint", "chmod", _IMAGE, "1777", "/data"
        )
