"""A portal of its own origin, served on loopback, whose pages embed the widget."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Portal:
    """Serves `pages` (path to HTML) at `url` with `headers`, 404 for all else. asked: the paths, in order."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.headers: dict[str, Mapping[str, str]] = {}
        self.asked: list[str] = []
        portal = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                portal.asked.append(self.path)
                html = portal.pages.get(path)
                body = (html or "").encode()
                self.send_response(404 if html is None else 200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                for name, value in portal.headers.get(path, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, path: str, body: str, **headers: str) -> str:
        """A page; its address. headers with _ for -."""
        self.pages[path] = f"<!doctype html><html lang=vi><title>{path}</title><body>{body}</body></html>"
        self.headers[path] = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.url + path

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
