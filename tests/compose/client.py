"""A visitor's browser and a reader of the numbers, through the gateway."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

from tests.compose.project import PORT
from tests.compose.said import SmokeError

BASE = f"http://127.0.0.1:{PORT}"
PAGE = "http://portal.test/bai-viet/"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def pageview(visitor: str, attempt: int = 0) -> dict[str, Any]:
    return {"type": "pageview", "site": "demo", "id": str(uuid4()), "url": PAGE, "visitor": visitor, "attempt": attempt}


def vote(score: int) -> dict[str, Any]:
    return {"type": "rating", "site": "demo", "id": str(uuid4()), "item": PAGE, "score": score, "voter": "visitor-1"}


def send(event: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    """Send one event; OSError (an HTTPError with its status) where it was not accepted."""
    headers = {"Content-Type": "application/json", "User-Agent": BROWSER, **(headers or {})}
    request = Request(f"{BASE}/v1/events", json.dumps(event).encode(), headers)
    with urlopen(request, timeout=10) as answer:
        if (answer.status, json.load(answer)) != (202, {"accepted": 1}):
            raise SmokeError(f"an event was answered with {answer.status}")


def get(path: str, headers: dict[str, str] | None = None) -> bytes:
    with urlopen(Request(BASE + path, headers=headers or {}), timeout=10) as answer:
        body: bytes = answer.read()
        return body


def get_json(path: str) -> Any:
    return json.loads(get(path))


def status(path: str) -> int:
    """The status of a GET; SmokeError where an error has not the one shape."""
    try:
        get(path)
    except HTTPError as error:
        if "error" not in json.load(error):
            raise SmokeError(f"{path}: {error.code} without an error's shape") from None
        return error.code
    return 200


def next_event(stream: Any) -> Any:
    """The data of the next `event: counts` of a live stream."""
    name = ""
    for line in stream:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: ") and name == "counts":
            return json.loads(line[6:])
    raise SmokeError("/live ended")


def shown() -> tuple[int, int, int, int]:
    """Online, visits today, page views today, bots online."""
    counts = get_json("/v1/sites/demo/counts")
    return counts["online"]["total"], counts["visits"]["today"], counts["pageviews"]["today"], counts["online"]["bots"]


def rating() -> tuple[int, int]:
    """Points and votes of the page."""
    found = get_json(f"/v1/sites/demo/items?path={PAGE}")["rating"]
    return found["points"], found["votes"]


def history() -> tuple[int, int, int]:
    """Visits, page views and bots of all days, from ClickHouse."""
    points = get_json("/v1/sites/demo/stats/timeseries?interval=day")["points"]
    visits, pageviews, bots = (sum(point[name] for point in points) for name in ("visits", "pageviews", "bots"))
    return visits, pageviews, bots


def numbers() -> dict[str, Any]:
    """Everything that must outlive a restart."""
    counts = get_json("/v1/sites/demo/counts")
    return {
        "visits": counts["visits"]["total"],
        "pageviews": counts["pageviews"]["total"],
        "rating": rating(),
        "history": history(),
    }
