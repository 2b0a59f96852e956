"""The OpenAPI description of ingest's paths, made from the same types that decode them."""

from typing import Any

import msgspec

from shared.events import MAX_EVENTS, Event

_ANSWERS = {
    202: "accepted: on disk",
    400: "not JSON",
    403: "the origin may not count for the site",
    404: "unknown site",
    413: "too large",
    422: "a field is wrong; the message names it",
    429: "too many events from one address; see Retry-After",
    503: "Redis did not take the event; see Retry-After, keep the id, count up attempt",
}


def openapi() -> dict[str, Any]:
    """`paths` and `components` to merge into an OpenAPI document: the hot paths are answered before FastAPI."""
    (event,), schemas = msgspec.json.schema_components([Event], ref_template="#/components/schemas/{name}")
    body = {"oneOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}]}
    answers = {str(status): {"description": text} for status, text in _ANSWERS.items()}
    query = [
        {"name": "site", "in": "query", "required": True, "schema": {"type": "string"}},
        {
            "name": "url",
            "in": "query",
            "schema": {"type": "string"},
            "description": "the page; by default the Referer",
        },
    ]
    return {
        "paths": {
            "/v1/events": {
                "post": {
                    "tags": ["ingest"],
                    "summary": f"Count one event, or an array of at most {MAX_EVENTS}",
                    "requestBody": {
                        "required": True,
                        "content": {kind: {"schema": body} for kind in ("application/json", "text/plain")},
                    },
                    "responses": answers,
                }
            },
            "/v1/pixel.gif": {
                "get": {
                    "tags": ["ingest"],
                    "summary": "Count a page view without JavaScript",
                    "parameters": query,
                    "responses": {**answers, "200": {"description": "the image"}},
                }
            },
        },
        "components": {"schemas": schemas},
    }
