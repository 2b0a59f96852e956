"""Answers that browsers and proxies may keep: compressed, with an ETag, and 304 where they have it already."""

import gzip
from hashlib import blake2b

from fastapi import Request, Response

_SMALLEST = 150
"""Bytes below which gzip makes nothing smaller."""


def cached(request: Request, body: bytes, media_type: str, cache_control: str, packed: bytes | None = None) -> Response:
    """The body, or 304. packed: the body under gzip, where it is at hand.

    The tag is weak, for body and packed body share it (RFC 9110, 8.8.1); proxies that compress make it weak anyway.
    """
    tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    # Any page may embed what is answered here, also one that demands CORP or uses crossorigin and integrity.
    headers = {
        "etag": f"W/{tag}",
        "cache-control": cache_control,
        "vary": "accept-encoding",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers["content-type"] = media_type
    if len(body) >= _SMALLEST and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed or gzip.compress(body, 6, mtime=0), headers={**headers, "content-encoding": "gzip"})
    return Response(body, headers=headers)
