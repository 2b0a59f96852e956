"""The requests that wrk sends (wrk.lua), with the places in them that it writes over."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.traffic import HOST, body, page_views

NO_ID = "00000000-0000-4000-8000-000000000000"
_VISITOR = "v000000000000000"
_ADDRESS = "100.100.100"


class Request(NamedTuple):
    """What wrk.lua sends, with the bytes at which it writes over it."""

    text: str
    address: int | None = None
    ids: Sequence[int] = ()
    visitors: Sequence[int] = ()

    @classmethod
    def of(cls, text: str) -> "Request":
        """A request that has an address, and events with ids and visitors to be written over."""
        raw = text.encode()
        return cls(text, raw.index(_ADDRESS.encode()), _places(raw, NO_ID), _places(raw, _VISITOR))

    def as_lua(self) -> str:
        numbers = {"address": self.address, "ids": self.ids, "visitors": self.visitors}
        fields = [f"{name}={_table(value)}" for name, value in numbers.items() if value]
        return "{" + ",".join([f"text={_quoted(self.text)}", *fields]) + "}"


def posts(sites: Sequence[str], per_request: int = 1) -> Iterator[Request]:
    """POST requests of all page views of the log, each request of one of the sites in turn."""
    views = page_views()
    for number, start in enumerate(range(0, len(views) - per_request + 1, per_request)):
        part = views[start : start + per_request]
        events = [body(view, sites[number % len(sites)], NO_ID, _VISITOR) for view in part]
        text = json.dumps(events if per_request > 1 else events[0], ensure_ascii=False, separators=(",", ":"))
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: dem.example.vn\r\nConnection: keep-alive\r\n"
            f"Content-Length: {len(text.encode())}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
            f"User-Agent: {part[0].agent or '-'}\r\nAccept: */*\r\nOrigin: https://{HOST}\r\n"
            f"Referer: https://{HOST}/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
            f"Accept-Language: vi-VN,vi;q=0.9,en-US;q=0.8,en;q=0.7\r\nX-Forwarded-For: 10.{_ADDRESS}\r\n\r\n"
        )
        yield Request.of(head + text)


def gets(paths: Iterable[str]) -> Iterator[Request]:
    """GET requests, as a page's script sends them."""
    for path in paths:
        yield Request(
            f"GET {path} HTTP/1.1\r\nHost: dem.example.vn\r\nConnection: keep-alive\r\nAccept: */*\r\n"
            f"User-Agent: {page_views()[0].agent}\r\nOrigin: https://{HOST}\r\nReferer: https://{HOST}/\r\n"
            "Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
        )


def write_requests(path: Path, requests: Iterable[Request]) -> Path:
    """The requests as the Lua table that wrk.lua reads."""
    path.write_text("return {\n" + ",\n".join(request.as_lua() for request in requests) + "}\n", "ascii")
    return path


def _places(text: bytes, what: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(what.encode()), text)]


def _table(value: object) -> str:
    return "{" + ",".join(map(str, value)) + "}" if isinstance(value, Sequence) else str(value)


def _quoted(text: str) -> str:
    r"""A Lua string; `\ddd` is a byte in decimal."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03}" for b in text.encode()) + '"'
