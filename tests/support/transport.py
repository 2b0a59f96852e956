"""A client's connection without a socket."""

import asyncio
from typing import Any


class Transport(asyncio.Transport):
    """Keeps what is written. reading: whether the server listens to its client; closed, aborted: by the server."""

    def __init__(self, peername: Any = ("192.0.2.1", 5000)) -> None:
        super().__init__({"peername": peername})
        self.written = b""
        self.reading = True
        self.closed = False
        self.aborted = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed
