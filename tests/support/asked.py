"""Requests for tests of handlers: no connection is involved, and what is answered is kept."""

from shared.http import Request


class Way:
    """Stands for the connection. status, headers, body: what was answered; closed: by the server; unread: bytes that
    the client has yet to read, which closing waits for.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.closed = False
        self.unread = 0

    def write_answer(self, _request: Request, status: int, head: bytes, body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines())

    def begin_stream(self, request: Request, head: bytes) -> "Way":
        self.write_answer(request, 200, head, b"")
        return self

    def write(self, data: bytes) -> None:
        self.body += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def close(self) -> None:
        self.closed = not self.unread

    def abort(self) -> None:
        self.closed = True


def asked(way: Way, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    """A request that came; headers with _ for -."""
    lines = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request(
        way=way,  # type: ignore[arg-type]
        method=method,
        target=target.encode(),
        headers=lines,
        client="127.0.0.1:5000",
        route="/asked",
        handler=lambda _: None,
        room=0,
        began=0.0,
        keep_alive=True,
        body=body,
        complete=True,
    )


def leave(request: Request) -> None:
    """The client goes away."""
    request.lost = True
    if request.gone:
        request.gone()
