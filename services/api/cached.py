"""Answers that browsers and proxies may keep: with an ETag, and 304 where they have it already."""

from hashlib import blake2b

from fastapi import Request, Response


def cached(request: Request, body: bytes, media_type: str, cache: tuple[str, str]) -> Response:
    """The body, or 304. cache: the Cache-Control header. The tag is weak: proxies may compress (RFC 9110, 8.8.1)."""
    etag = f'W/"{blake2b(body, digest_size=8).hexdigest()}"'
    headers = {cache[0]: cache[1], "etag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "content-type": media_type})
