"""A client's connection without a socket."""

import asyncio
from typing import Any


class Transport(asyncio.Transport):
    """Keeps what is written. reading: whether the server listens to its client; closed: by the server."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5000)})
        self.written = b""
        self.reading = True
        self.closed = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed
