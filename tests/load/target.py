"""What is tested, and that it is nobody else's: loopback or a network of compose."""

import ipaddress
import json
import socket
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 3.0
_IN_CONTAINER = Path("/.dockerenv")
"""Outside of one, a name without a dot may be that of any machine in a company's network."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect is an error: it may lead elsewhere."""


_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


class TargetError(Exception):
    """One line for whoever started the load."""


class Target(NamedTuple):
    """Addresses of the three services, and the site that is counted."""

    ingest: str
    counter: str
    api: str
    site: str

    def services(self) -> dict[str, str]:
        """The addresses by name."""
        return {"ingest": self.ingest, "counter": self.counter, "api": self.api}

    def check(self) -> None:
        """TargetError where one of them is on another machine, does not answer, or does not know the site."""
        for name, url in self.services().items():
            _check_near(url)
            try:
                get(f"{url}/health/ready")
                found = self.measured(name)
            except OSError as error:
                raise TargetError(f"{name} does not answer at {url}: {error}. Is it running, and truycap's?") from None
            except ValueError:
                found = {}
            if not any(metric.startswith("truycap_") for metric in found):
                raise TargetError(f"What answers at {url} is no truycap: it has no such metrics at /metrics.")
        try:
            self.page_views()
        except (OSError, ValueError, KeyError):
            raise TargetError(
                f"There is no site {self.site!r}. The load needs a site of its own, so that no real number changes: put"
                f' [[site]] id = "{self.site}" hostnames = ["load-test.invalid"] into truycap.toml.'
            ) from None

    def page_views(self) -> int:
        """All page views of the site, as its readers see them."""
        answer: Any = json.loads(get(f"{self.api}/v1/sites/{self.site}/counts"))
        return int(answer["pageviews"]["total"])

    def measured(self, service: str) -> Mapping[str, Any]:
        """The values of a service's metrics: by name, then by the labels. OSError where it does not answer."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(get(f"{self.services()[service]}/metrics").decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.items())] = sample.value
        return found


def get(url: str) -> bytes:
    """What is at an address, itself and nowhere else. OSError where there is nothing."""
    try:
        with _DIRECTLY.open(url, timeout=_SECONDS) as answer:
            body: bytes = answer.read()
    except HTTPException as error:
        raise OSError(f"the answer broke off ({error!r})") from None
    return body


def _check_near(url: str) -> None:
    try:
        parts = urlsplit(url)
        wrong = parts.scheme != "http" or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise TargetError(f"{url!r} is no address of a service. Write it as http://ingest:8001 (without TLS).")
    host = parts.hostname or ""
    try:
        addresses = {ipaddress.ip_address(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise TargetError(f"{host} has no address: {error}.") from None
    in_compose = "." not in host and ":" not in host and _IN_CONTAINER.exists()
    if not all(address.is_loopback or (in_compose and address.is_private) for address in addresses):
        raise TargetError(f"{host} is not on this machine. The load goes to loopback or to services of compose alone.")
