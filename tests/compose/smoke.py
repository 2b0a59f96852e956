"""The unchanged docker-compose.yml, brought up and used from outside through the gateway.

    python tests/compose/smoke.py        (nothing but Python and `docker compose`; exit code 1 on the first surprise)

It runs as a project of its own, on port 18000 and a network of its own, beside whatever else runs; at the end nothing
of it is left. The engine is taken as it is: that it has the images which docker-compose.yml and deploy/Dockerfile
name, or can pull them, and that pip works in a build, is up to whoever starts this. Where those images are stand-ins
(for a machine without a registry), what is proved is the wiring, not the servers behind those names.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
PORT = os.environ.get("GATEWAY_PORT", "18000")
BASE = f"http://127.0.0.1:{PORT}"
SITE = f"{BASE}/v1/sites/demo"
PAGE = "http://portal.test/bai-viet/"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
ENVIRONMENT = {
    **os.environ,
    "COMPOSE_PROJECT_NAME": "truycap-smoke",
    "GATEWAY_PORT": PORT,
    "NETWORK_SUBNET": os.environ.get("NETWORK_SUBNET", "172.30.81.0/24"),
}
STARTED = time.monotonic()


class SmokeError(Exception):
    """Something is not as it must be."""


def main() -> int:
    try:
        compose("down", "--volumes")
        compose("up", "--detach", "--build", "--wait")
        say("up: every service is healthy")
        check_counting()
        check_live()
        check_addresses()
        check_edges()
        check_outage()
        check_verify()
        before = numbers()
        compose("down")
        compose("up", "--detach", "--wait")
        wait_for(f"the same numbers after down and up: {before}", lambda: numbers() == before, 5)
        check_verify()
    except SmokeError as error:
        say(f"FAILED: {error}")
        print(compose("logs", "--no-color", "--tail", "30", check=False), file=sys.stderr)
        return 1
    finally:
        compose("down", "--volumes", check=False)
    say("down --volumes")
    return 0


def check_counting() -> None:
    """A page view, a vote that is changed, and a bot, each visible within two seconds."""
    send(pageview("visitor-1"))
    wait_for("a page view counts: online 1, visits 1, page views 1", lambda: shown() == (1, 1, 1, 0))
    send(vote(2))
    wait_for("a vote counts", lambda: rating() == (2, 1))
    send(vote(5))
    wait_for("voting again changes the vote", lambda: rating() == (5, 1))
    get(f"/v1/pixel.gif?site=demo&url={PAGE}", {"User-Agent": GOOGLEBOT})
    wait_for("a bot's pixel counts apart", lambda: shown() == (2, 1, 1, 1))
    series = get_json("/v1/sites/demo/stats/timeseries?interval=day")["points"]
    expect("the statistics say the same", total(series), (1, 1, 1))
    top = get_json("/v1/sites/demo/stats/top?dimension=bot")["rows"]
    expect("the bot has its name", [row["pageviews"] for row in top if "google" in row["value"].lower()], [1])


def check_live() -> None:
    """The stream says what is so, and then what changes, within two seconds."""
    with urlopen(f"{SITE}/live", timeout=5) as stream:
        expect("/live begins with the numbers", next_event(stream)["visits"]["today"], 1)
        send(pageview("visitor-2"))
        sent = time.monotonic()
        while next_event(stream)["visits"]["today"] != 2:
            if time.monotonic() > sent + 2:
                raise SmokeError("/live did not show the second visit within 2 s")
        say(f"/live shows the next visit after {time.monotonic() - sent:.2f} s")


def check_addresses() -> None:
    """Visitors without an id are told apart by the address that the gateway saw, not by the one they claim."""
    online, visits, *_ = shown()
    for claimed in ("198.51.100.1", "198.51.100.2"):
        send(pageview(""), {"X-Forwarded-For": claimed})
    wait_for("a forged X-Forwarded-For makes no visitor", lambda: shown()[:3] == (online + 1, visits + 1, visits + 2))
    code = f"import urllib.request as u; u.urlopen(u.Request('http://gateway:8000/v1/pixel.gif?site=demo&url={PAGE}',"
    compose("exec", "-T", "api", "python", "-c", f"{code} headers={{'User-Agent': {BROWSER!r}}}))")
    wait_for("another address is another visitor", lambda: shown()[:2] == (online + 2, visits + 2))


def check_edges() -> None:
    """What is not for the public, and what is."""
    for path in ("/metrics", "/%6Detrics", "/metrics/"):
        expect(f"{path} is not public", status(path), 404)
    for path in ("/widget.js", "/docs", "/health/ready", "/v1/sites/demo/counts.svg", "/v1/sites/demo/counts.html"):
        expect(f"{path} is", status(path), 200)
    expect("an unknown site is an error in the one shape", status("/v1/sites/nobody/counts"), 404)
    expect("ports beside the gateway's are not published", compose("ps", "--format", "{{.Ports}}").count("->"), 1)


def check_outage() -> None:
    """While ingest is away the tracker is told to send again; afterwards it can."""
    began = time.monotonic()
    compose("stop", "ingest")
    say(f"ingest stopped within {time.monotonic() - began:.1f} s")
    try:
        send(pageview("visitor-3"))
    except HTTPError as error:
        answer = (error.code, error.headers["Retry-After"], json.load(error)["error"]["code"])
        expect("without ingest: 503, Retry-After, and the error's shape", answer, (503, "5", "unavailable"))
    else:
        raise SmokeError("an event was accepted while ingest was stopped")
    compose("up", "--detach", "--wait", "ingest")
    visits = shown()[1]
    send(pageview("visitor-3", attempt=1))
    wait_for("with ingest again the event counts", lambda: shown()[1] == visits + 1)


def check_verify() -> None:
    print(compose("exec", "-T", "api", "truycap", "verify"), end="", flush=True)
    say("truycap verify: exit code 0")


def numbers() -> dict[str, Any]:
    """Everything that must outlive a restart."""
    counts = get_json("/v1/sites/demo/counts")
    series = get_json("/v1/sites/demo/stats/timeseries?interval=day")["points"]
    return {
        "visits": counts["visits"]["total"],
        "pageviews": counts["pageviews"]["total"],
        "rating": rating(),
        "history": total(series),
    }


def shown() -> tuple[int, int, int, int]:
    """Online, visits today, page views today, bots online."""
    counts = get_json("/v1/sites/demo/counts")
    return counts["online"]["total"], counts["visits"]["today"], counts["pageviews"]["today"], counts["online"]["bots"]


def rating() -> tuple[int, int]:
    found = get_json(f"/v1/sites/demo/items?path={PAGE}")["rating"]
    return found["points"], found["votes"]


def total(points: list[dict[str, Any]]) -> tuple[int, int, int]:
    visits, pageviews, bots = (sum(point[name] for point in points) for name in ("visits", "pageviews", "bots"))
    return visits, pageviews, bots


def pageview(visitor: str, attempt: int = 0) -> dict[str, Any]:
    return {
        "type": "pageview",
        "site": "demo",
        "id": str(uuid4()),
        "url": PAGE,
        "visitor": visitor,
        "attempt": attempt,
    }


def vote(score: int) -> dict[str, Any]:
    return {"type": "rating", "site": "demo", "id": str(uuid4()), "item": PAGE, "score": score, "voter": "visitor-1"}


def send(event: dict[str, Any], headers: dict[str, str] | None = None) -> None:
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
    try:
        get(path)
    except HTTPError as error:
        if "error" not in json.load(error):
            raise SmokeError(f"{path}: {error.code} without an error's shape") from None
        return error.code
    return 200


def next_event(stream: Any) -> Any:
    """The data of the next `event: counts`."""
    name = ""
    for line in stream:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: ") and name == "counts":
            return json.loads(line[6:])
    raise SmokeError("/live ended")


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SmokeError(f"{what}: {found!r} instead of {wanted!r}")
    say(what)


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 2) -> None:
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + seconds:
            raise SmokeError(f"{what}: not within {seconds} s; now {shown()}")
        time.sleep(0.05)
    say(f"{what}, after {time.monotonic() - began:.2f} s")


def compose(*arguments: str, check: bool = True) -> str:
    command = ["docker", "compose", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, check=False)
    if check and done.returncode:
        raise SmokeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr[-4000:]}")
    return done.stdout


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
