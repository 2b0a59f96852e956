"""What truycap does, seen from outside: counting, rating, live, statistics, addresses, an outage."""

import json
import time
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.compose.client import (
    BASE,
    BROWSER,
    PAGE,
    get,
    get_json,
    history,
    next_event,
    pageview,
    rating,
    send,
    shown,
    status,
    vote,
)
from tests.compose.project import Project
from tests.compose.said import SmokeError, expect, say, wait_for

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def check_counting() -> None:
    """A page view, a vote that is changed, and a bot, each visible within two seconds."""
    send(pageview("visitor-1"))
    wait_for("a page view counts: online 1, visits 1, page views 1", shown, (1, 1, 1, 0))
    send(vote(2))
    wait_for("a vote counts", rating, (2, 1))
    send(vote(5))
    wait_for("voting again changes the vote", rating, (5, 1))
    get(f"/v1/pixel.gif?site=demo&url={PAGE}", {"User-Agent": GOOGLEBOT})
    wait_for("a bot's pixel counts apart", shown, (2, 1, 1, 1))
    expect("the statistics say the same", history(), (1, 1, 1))
    top = get_json("/v1/sites/demo/stats/top?dimension=bot")["rows"]
    expect("the bot has its name", [row["pageviews"] for row in top if "google" in row["value"].lower()], [1])


def check_live() -> None:
    """The stream says what is so, and then what changes, within two seconds."""
    with urlopen(f"{BASE}/v1/sites/demo/live", timeout=5) as stream:
        expect("/live begins with the numbers", next_event(stream)["visits"]["today"], 1)
        send(pageview("visitor-2"))
        sent = time.monotonic()
        while next_event(stream)["visits"]["today"] != 2:
            if time.monotonic() > sent + 2:
                raise SmokeError("/live did not show the second visit within 2 s")
        say(f"/live shows the next visit after {time.monotonic() - sent:.2f} s")


def check_addresses(project: Project) -> None:
    """Visitors without an id are told apart by the address that the gateway saw, not by the one they claim."""
    online, visits, *_ = shown()
    for claimed in ("198.51.100.1", "198.51.100.2"):
        send(pageview(""), {"X-Forwarded-For": claimed})
    wait_for("a forged X-Forwarded-For makes no visitor", shown, (online + 1, visits + 1, visits + 2, 1))
    code = f"import urllib.request as u; u.urlopen(u.Request('http://gateway/v1/pixel.gif?site=demo&url={PAGE}',"
    project.compose("exec", "-T", "api", "python", "-c", f"{code} headers={{'User-Agent': {BROWSER!r}}}))")
    wait_for("another address is another visitor", lambda: shown()[:2], (online + 2, visits + 2))


def check_edges(project: Project) -> None:
    """What is not for the public, and what is."""
    for path in ("/metrics", "/%6Detrics", "/metrics/"):
        expect(f"{path} is not public", status(path), 404)
    for path in ("/widget.js", "/docs", "/health/ready", "/v1/sites/demo/counts.svg", "/v1/sites/demo/counts.html"):
        expect(f"{path} is", status(path), 200)
    expect("an unknown site is an error in the one shape", status("/v1/sites/nobody/counts"), 404)
    ports = project.compose("ps", "--format", "{{.Service}} {{.Ports}}").splitlines()
    expect("only the gateway has ports", [line.split()[0] for line in ports if "->" in line], ["gateway"])


def check_outage(project: Project) -> None:
    """While ingest is away the tracker is told to send again; afterwards it can."""
    began = time.monotonic()
    project.compose("stop", "ingest")
    say(f"ingest stopped within {time.monotonic() - began:.1f} s")
    try:
        send(pageview("visitor-3"))
    except HTTPError as error:
        answer = (error.code, error.headers["Retry-After"], json.load(error)["error"]["code"])
        expect("without ingest: 503, Retry-After, and the error's shape", answer, (503, "5", "unavailable"))
    else:
        raise SmokeError("an event was accepted while ingest was stopped")
    project.compose("up", "--detach", "--wait", "ingest")
    visits = shown()[1]
    send(pageview("visitor-3", attempt=1))
    wait_for("with ingest again the event counts", lambda: shown()[1], visits + 1)


def check_verify(project: Project) -> None:
    project.truycap("verify")
    say("truycap verify: exit code 0")
