"""A test tool: chDB behind as much of ClickHouse's HTTP interface as clickhouse-connect's client uses.

    python -m tests.support.clickhouse_server --data DIR --backups DIR --port 0

prints `listening on PORT` once it answers, on 127.0.0.1 alone. SIGTERM and SIGINT end it after
what still runs. It answers /ping and statements by POST body or ?query=, with param_*, database, settings, forms
and data behind FORMAT (chunked, compressed): compressed replies, X-ClickHouse-* headers, error codes.

It is no server to use: users and passwords are not looked at, a result is built in memory before it is sent, and
there are no sessions, external tables, roles, progress headers, protocol versions, configuration, clusters or
native protocol.
"""

import argparse
import gzip
import json
import re
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What the interface takes for itself; every other parameter is a setting for the engine to judge.
_OWN = {"query", "query_id", "database", "default_format", "wait_end_of_query", "client_protocol_version"}
_MISSING = {"session_id", "role", "compress", "decompress"}
# The server's statuses (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp) for the errors that tests meet.
_STATUS = dict.fromkeys((46, 47, 50, 60, 73, 81, 115), 404) | dict.fromkeys((6, 27, 53, 62), 400) | {48: 501}
_QUOTED = rb"`[^`]*`|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_NOISE = re.compile(_QUOTED + rb"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_INSERT = re.compile(
    rb"\s*(INSERT\s+INTO\b(?:%s|(?!\b(?:VALUES|SELECT)\b)[^`\"'])*?)\bFORMAT\s+(\w+)[ \t\r]*;?\n?" % _QUOTED,
    re.IGNORECASE | re.DOTALL,
)
_ANSWERS = re.compile(rb"[\s(]*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b", re.IGNORECASE)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)[\s;]*$", re.IGNORECASE)


def _lz4_frames(data: bytes) -> bytes:
    # The driver sends a frame for every block; lz4.frame.decompress silently stops after the first.
    parts: list[bytes] = []
    while data:
        frame = lz4.frame.LZ4FrameDecompressor()
        parts.append(frame.decompress(data))
        data = frame.unused_data or b""
    return b"".join(parts)


_CODECS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "lz4": (lz4.frame.compress, _lz4_frames),
    "zstd": (zstd.compress, zstd.decompress),
    "gzip": (gzip.compress, gzip.decompress),
}


class Answer(NamedTuple):
    """format: None for a statement that answers nothing."""

    body: bytes
    format: str | None
    summary: Mapping[str, int]


def refusal(code: int, name: str, text: str) -> Exception:
    """What is refused before the engine sees it, worded as ClickHouse words its errors."""
    return ValueError(f"Code: {code}. DB::Exception: {text} ({name})")


def execute(handle: Any, sql: bytes, params: Mapping[str, str], *, read_only: bool) -> Answer:
    """Run one statement on an engine handle of its own, so that USE and SET are this request's alone."""
    if missing := params.keys() & _MISSING:
        raise refusal(48, "NOT_IMPLEMENTED", f"The test server has no {', '.join(sorted(missing))}")
    # chDB has clickhouse-local's default here, not the server's; a GET may only read, there too.
    handle.query("SET implicit_select = 0" + ", readonly = 2" * read_only)
    if database := params.get("database"):
        handle.query(f"USE `{database}`")
    bound = {name[6:]: value for name, value in params.items() if name.startswith("param_")}
    for name, value in params.items():
        if name not in _OWN and not name.startswith("param_"):
            handle.query("SET {} = '{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'")))
    if insert := _INSERT.match(sql):
        # From a file: chDB's streaming insert says that all is well where the engine could not write.
        with tempfile.NamedTemporaryFile() as data:
            data.write(sql[insert.end() :])
            data.flush()
            done = handle.query(f"{insert[1].decode()} FROM INFILE '{data.name}' FORMAT {insert[2].decode()}")
        return Answer(b"", None, {"written_rows": done.rows_read(), "written_bytes": done.bytes_read()})
    bare = _NOISE.sub(b" ", sql)
    if not bare.strip() or re.search(rb";\s*[^\s;]", bare):
        raise refusal(62, "SYNTAX_ERROR", "Syntax error: empty query or multi-statements")
    named, default = _FORMAT.search(bare), params.get("default_format", "TabSeparated")
    result = handle.query(sql, default, params=bound)
    shown = (named[1].decode() if named else default) if _ANSWERS.match(bare) else None
    summary = {"read_rows": result.storage_rows_read(), "result_rows": result.rows_read()}
    return Answer(result.bytes() or b"", shown, summary)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, backups: Path, port: int) -> None:
        self.connection = f"{folder.resolve()}?backups.allowed_path={backups.resolve()}"
        self.engine = self.handle()
        answer = self.engine.query("SELECT version(), timezone()", "TabSeparated").bytes().decode()
        self.version, self.timezone = answer.strip().split("\t")
        self.running = threading.BoundedSemaphore(64)
        super().__init__(("127.0.0.1", port), Handler)

    def handle(self) -> Any:
        return chdb.connect(self.connection)  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Let no other statement begin, wait for those that run (5 s for each), close the engine."""
        self.shutdown()
        for _ in range(64):
            self.running.acquire(timeout=5)
        self.engine.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed is no news
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every reply waits for the acknowledgement of its headers
    server: Server

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        headers = {"X-ClickHouse-Query-Id": params.get("query_id") or str(uuid.uuid4())}
        try:
            sql = self._statement(params)
            if url.path == "/ping":
                return self._reply(200, b"Ok.\n", {})
            with self.server.running, closing(self.server.handle()) as handle:
                body, shown, summary = execute(handle, sql, params, read_only=self.command == "GET")
        except Exception as error:
            found = re.search(r"Code: (\d+)\..*", str(error), re.DOTALL)
            code, text = (int(found[1]), found[0]) if found else (1002, f"Code: 1002. DB::Exception: {error!r}")
            text = f"{text.strip()} (version {self.server.version} (chDB))\n"
            headers["X-ClickHouse-Exception-Code"] = str(code)
            return self._reply(_STATUS.get(code, 500), text.encode(), headers)
        headers["X-ClickHouse-Timezone"] = self.server.timezone
        headers["X-ClickHouse-Summary"] = json.dumps({name: str(count) for name, count in summary.items()})
        if shown:
            headers["X-ClickHouse-Format"] = shown
        accepted = [name.strip() for name in self.headers.get("Accept-Encoding", "").split(",")]
        codec = next((name for name in accepted if name in _CODECS), None)
        if body and codec and params.get("enable_http_compression") == "1":
            body, headers["Content-Encoding"] = _CODECS[codec][0](body), codec
        return self._reply(200, body, headers)

    do_GET = do_POST  # noqa: N815 (the base class's name)

    def _statement(self, params: dict[str, str]) -> bytes:
        """The SQL with the data behind it. A form's fields become parameters: long ones are sent so."""
        body = self._body()
        if self.headers.get_content_type() == "multipart/form-data":
            kind, content = self.headers["Content-Type"].encode(), body
            for part in message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (kind, content)).walk():
                if part.get_filename():
                    raise refusal(48, "NOT_IMPLEMENTED", "The test server has no external tables")
                if name := part.get_param("name", header="content-disposition"):
                    payload = part.get_payload(decode=True)
                    params[str(name)] = payload.decode() if isinstance(payload, bytes) else ""
            body = b""
        return b"\n".join(part for part in (params.get("query", "").encode(), body) if part)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        codec = self.headers.get("Content-Encoding", "identity")
        if codec not in {"identity", *_CODECS}:
            raise refusal(48, "NOT_IMPLEMENTED", f"Unknown compression method {codec}")
        return data if codec == "identity" else _CODECS[codec][1](data)

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the log is for what goes wrong."""


def main() -> None:
    parser = argparse.ArgumentParser(description="chDB over ClickHouse's HTTP interface, for tests alone")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data; made if missing")
    parser.add_argument("--backups", type=Path, required=True, help="backups.allowed_path")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    options = parser.parse_args()
    server, stop = Server(options.data, options.backups, options.port), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(f"listening on {server.server_port}", flush=True)
    stop.wait()
    server.end()


if __name__ == "__main__":
    main()
