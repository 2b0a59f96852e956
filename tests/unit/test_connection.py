"""Connections of HTTP/1.1: what comes in bytes, which requests they are, what goes out."""

import gc
import weakref
from urllib.parse import quote

import pytest

from services.ingest.collect import Addresses
from shared.connection import MOST_HEAD_BYTES, Connection
from shared.http import CLIENT_WENT_AWAY, Found, Request
from tests.support.transport import Transport

MOST_BODY_BYTES = 10


class Host:
    """A server that keeps the requests that come."""

    def __init__(self) -> None:
        self.general_lines = b"date: now\r\n"
        self.now = 100.0
        self.connections: set[Connection] = set()
        self.requests: list[Request] = []

    def find(self, target: bytes) -> Found:
        return Found(target.decode(), self.requests.append, MOST_BODY_BYTES)

    def arrived(self, request: Request) -> None:
        request.handler(request)


class Client:
    """A client's end of a connection, and the server's requests."""

    def __init__(self, transport: Transport | None = None) -> None:
        self.host = Host()
        self.requests = self.host.requests
        self.transport = transport or Transport()
        self.connection = Connection(self.host)
        self.connection.connection_made(self.transport)

    def send(self, text: str | bytes) -> None:
        self.connection.data_received(text.encode() if isinstance(text, str) else text)

    @property
    def got(self) -> str:
        return self.transport.written.decode()


@pytest.fixture
def client() -> Client:
    return Client()


def post(body: str, *lines: str, path: str = "/v1/events", length: int | None = None) -> str:
    head = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body) if length is None else length}", *lines]
    return "\r\n".join([*head, "", body])


def test_a_request_is_answered(client: Client) -> None:
    client.send(post("{}", "X-Forwarded-For: 1.2.3.4"))
    (request,) = client.requests
    assert (request.method, request.target, request.route) == ("POST", b"/v1/events", "/v1/events")
    assert (request.body, request.client) == (b"{}", "192.0.2.1:5000")
    assert request.header(b"x-forwarded-for") == "1.2.3.4"
    request.answer(202, b"a: b\r\n", b"yes")
    assert client.got == "HTTP/1.1 202 Accepted\r\na: b\r\ndate: now\r\ncontent-length: 3\r\n\r\nyes"
    assert not client.transport.closed


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    for byte in post("{1}", path="/tin-tức".encode().decode("latin-1")).encode("latin-1"):
        client.send(bytes([byte]))
    (request,) = client.requests
    assert request.body == b"{1}"


def test_lines_of_one_name_are_one_list(client: Client) -> None:
    client.send(post("", "X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 5.6.7.8"))
    assert client.requests[0].header(b"x-forwarded-for") == "1.2.3.4,5.6.7.8"


def test_a_url_that_is_not_ascii_is_read_as_its_utf8(client: Client) -> None:
    client.send("GET /tin-tức?q=đ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.requests[0].target == quote("/tin-tức?q=đ", safe="/?=").encode()


def test_a_body_that_is_not_ascii_is_left_as_it_is(client: Client) -> None:
    client.send(post("", length=len("tức".encode())) + "tức")
    assert client.requests[0].body == "tức".encode()


def test_requests_sent_at_once_are_answered_in_their_order(client: Client) -> None:
    client.send(post("1") + post("2") + post("3"))
    assert [request.body for request in client.requests] == [b"1"]
    assert not client.transport.reading
    for number in range(3):
        client.requests[number].answer(200, body=b"%d" % number)
    assert [request.body for request in client.requests] == [b"1", b"2", b"3"]
    assert [answer[-1] for answer in client.got.split("HTTP/1.1 200 OK")[1:]] == ["0", "1", "2"]
    assert client.transport.reading


def test_the_next_request_may_be_half_there(client: Client) -> None:
    client.send(post("1") + "POST /v1/events HTT")
    client.requests[0].answer(200)
    client.send("P/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2")
    assert client.requests[1].body == b"2"


def test_a_body_in_chunks(client: Client) -> None:
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{1\r\n1\r\n}\r\n0\r\n\r\n")
    assert client.requests[0].body == b"{1}"


def test_a_body_in_the_smallest_chunks_is_not_copied_for_each(client: Client) -> None:
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n1\r\n2\r\n")
    (request,) = client.connection._requests
    body = request.body
    client.send("1\r\n3\r\n" * 8 + "0\r\n\r\n")
    assert request.body is body
    assert client.requests == [request]
    assert body == b"1233333333"


def test_what_follows_a_body_is_no_header(client: Client) -> None:
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\n1\r\n0\r\nX-Forwarded-For: 192.0.2.66\r\nX-More: 1\r\n\r\n" + post("2", "X-Next: 1")
    )
    client.requests[0].answer(200)
    first, second = client.requests
    assert first.header(b"x-forwarded-for") == "192.0.2.7"
    assert b"x-more" not in first.headers
    assert second.header(b"x-next") == "1"


@pytest.mark.parametrize(
    ("peername", "shown", "address"),
    [
        (("192.0.2.1", 5000), "192.0.2.1:5000", "192.0.2.1"),
        (("2001:db8::7", 5000, 0, 0), "[2001:db8::7]:5000", "2001:db8::7"),
        (("::1", 5000, 0, 0), "[::1]:5000", "::1"),
        (("::ffff:192.0.2.1", 5000, 0, 0), "[::ffff:192.0.2.1]:5000", "192.0.2.1"),
        ("", "", ""),  # a Unix socket's
    ],
)
def test_the_clients_address_is_told_from_its_port(peername: object, shown: str, address: str) -> None:
    client = Client(Transport(peername))
    client.send(post("{}"))
    assert client.requests[0].client == shown
    assert Addresses("").of(shown, "") == address


@pytest.mark.parametrize(
    "request_text",
    [
        post("", length=MOST_BODY_BYTES + 1),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n6\r\n123456\r\n",
    ],
    ids=["says so", "grows"],
)
def test_a_body_that_is_too_large_is_refused_before_its_end(client: Client, request_text: str) -> None:
    client.send(request_text)
    (request,) = client.requests
    assert request.body is None
    request.answer(413)
    assert client.got.startswith("HTTP/1.1 413 ")
    assert "connection: close" in client.got
    assert not client.transport.closed  # it could not read why while it still sends


def test_a_body_that_is_too_large_and_there_is_the_last(client: Client) -> None:
    client.send(post("x" * (MOST_BODY_BYTES + 1)))
    client.requests[0].answer(413)
    assert client.transport.closed


def test_what_is_no_http_is_refused(client: Client) -> None:
    client.send("hello\r\n\r\n")
    assert client.got.startswith("HTTP/1.1 400 ")
    assert client.transport.closed
    assert not client.requests


def test_two_lengths_are_refused(client: Client) -> None:
    client.send(post("1", "Transfer-Encoding: chunked"))
    assert client.got.startswith("HTTP/1.1 400 ")


def test_a_head_without_end_is_refused(client: Client) -> None:
    client.send("GET / HTTP/1.1\r\nHost: a\r\n")
    for _ in range(MOST_HEAD_BYTES // 1000 + 1):
        client.send(f"X-A: {'a' * 1000}\r\n")
    assert client.got.startswith("HTTP/1.1 431 ")
    assert client.transport.closed


@pytest.mark.parametrize("rest", ["x", "x\r\nX-A: "])
def test_what_follows_a_body_without_end_is_refused(client: Client, rest: str) -> None:
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX-A: 1")
    for _ in range(MOST_HEAD_BYTES // 1000 + 1):
        assert not client.transport.closed
        client.send(rest * (1000 // len(rest)))
    client.send("x" * 1000)
    assert client.got.startswith("HTTP/1.1 431 ")
    assert client.transport.closed
    assert not client.requests


def test_a_body_in_chunks_may_be_larger_than_a_head(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.test_connection.MOST_BODY_BYTES", 5 * MOST_HEAD_BYTES)
    chunk = "x" * (MOST_HEAD_BYTES + 1)
    line = f"{len(chunk):x}\r\n"
    client.send(f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{line}")
    client.send(f"{chunk}\r\n{line}")  # a read may end anywhere
    client.send(f"{chunk}\r\n{line}{chunk}\r\n{line}")
    client.send(chunk)
    client.send("\r\n0\r\n\r\n")
    (request,) = client.requests
    assert request.body == chunk.encode() * 4


@pytest.mark.parametrize(
    ("request_text", "stays"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        ("GET / HTTP/1.0\r\n\r\n", False),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", False),
    ],
)
def test_when_a_connection_stays(client: Client, request_text: str, stays: bool) -> None:
    client.send(request_text)
    client.requests[0].answer(200)
    assert client.transport.closed is not stays
    assert ("connection: close" in client.got) is not stays


def test_head_has_the_length_and_no_body(client: Client) -> None:
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.requests[0].answer(200, body=b"12345")
    assert client.got.endswith("content-length: 5\r\n\r\n")


def test_who_waits_to_be_asked_for_the_body_is_asked(client: Client) -> None:
    client.send(post("", "Expect: 100-continue", length=2))
    assert client.got == "HTTP/1.1 100 Continue\r\n\r\n"
    client.send("{}")
    assert client.requests[0].body == b"{}"


def test_who_goes_away_is_not_answered(client: Client) -> None:
    client.send(post("1"))
    request = client.requests[0]
    told: list[str | int | None] = []
    request.gone = lambda: told.append("gone")
    request.then = told.append
    client.connection.connection_lost(None)
    request.answer(202)
    assert told == ["gone", CLIENT_WENT_AWAY]
    assert not client.got
    assert not client.host.connections


def test_who_does_not_read_is_not_listened_to(client: Client) -> None:
    client.connection.pause_writing()
    assert not client.transport.reading
    client.connection.resume_writing()
    assert client.transport.reading


def test_a_stream_ends_with_its_connection(client: Client) -> None:
    client.send("GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
    stream = client.requests[0].stream(b"a: b\r\n")
    assert stream is not None
    stream.write(b"data: 1\n\n")
    assert client.got == "HTTP/1.1 200 OK\r\na: b\r\ndate: now\r\nconnection: close\r\n\r\ndata: 1\n\n"


def test_the_end_waits_for_what_is_to_be_answered(client: Client) -> None:
    client.send(post("1"))
    client.connection.finish()
    assert not client.transport.closed
    client.requests[0].answer(202)
    assert client.transport.closed


def test_since_when_something_is_waited_for(client: Client) -> None:
    connection, host = client.connection, client.host
    host.now = 101.0
    client.send("POST / HTTP/1.1\r\nHost: a\r\n")
    assert (connection.partial, connection.due_since) == (True, 101.0)
    host.now = 102.0
    client.send("Content-Length: 1\r\n\r\n1")
    assert (connection.partial, connection.due_since) == (False, None)
    client.requests[0].answer(200)
    assert (connection.partial, connection.due_since) == (False, 102.0)


def test_a_lost_connection_leaves_nothing_to_the_garbage_collector(client: Client) -> None:
    client.send(post("{}"))
    client.requests.pop().answer(202, b"", b"")
    gone = weakref.ref(client.connection)
    client.connection.connection_lost(None)
    gc.disable()
    try:
        del client.connection
        assert gone() is None
    finally:
        gc.enable()
