"""A browser's connection to a service: one request after the other, kept open between them.

On gevent's sockets and httptools' parser, and no more: the load shares the machine with what it tests, so a request
must cost it as little as can be (a tenth of a millisecond; HTTP clients for gevent take half of one).
"""

from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gevent import socket
from httptools import HttpParserError, HttpResponseParser

ANSWER_SECONDS = 10.0
_PIECE = 65_536


class Answer(NamedTuple):
    """status: 0 where there was none; after: seconds until another try, as the server wishes, else 1."""

    status: int
    after: float = 1.0


def connected(url: str) -> socket.socket:
    """A connection to a service, which waits for ANSWER_SECONDS at most. OSError where there is none."""
    family, kind, protocol, _, there = _resolved(url)
    made = socket.socket(family, kind, protocol)
    made.settimeout(ANSWER_SECONDS)
    try:
        made.connect(there)
    except OSError:
        made.close()
        _resolved.cache_clear()  # a container that is made anew may have another address
        raise
    return made


@cache
def _resolved(url: str) -> Any:
    """Once for all: gevent asks in threads, which a busy load hardly lets run, even for what is an address already."""
    parts = urlsplit(url)
    return socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)[0]


class Connection:
    """To the service at a base URL. A new one is made where the old one is closed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).netloc
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, headers: str, body: bytes = b"") -> Answer:
        """The answer to a request. headers: lines of their own, each ended."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{length}{headers}\r\n"
        reading = _Reading()
        try:
            if self._socket is None:
                self._socket = connected(self._url)
            self._socket.sendall(head.encode() + body)
            while not reading.complete:
                if not (piece := self._socket.recv(_PIECE)):
                    raise ConnectionResetError
                reading.parser.feed_data(piece)
        except (OSError, HttpParserError):
            self.close()
            return Answer(0)
        if not reading.keeps:
            self.close()
        return Answer(reading.parser.get_status_code(), reading.after)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Reading:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.complete = self.keeps = False
        self.after = 1.0

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.after = float(value)

    def on_message_complete(self) -> None:
        self.complete = True
        self.keeps = self.parser.should_keep_alive()  # later it would no longer know
