"""`--profile ops`: Prometheus and Grafana, on this machine alone."""

import json
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from tests.compose.project import GRAFANA_PORT, PROMETHEUS_PORT, ROOT, Project
from tests.compose.said import expect, wait_for

TARGETS = ["api", "counter", "gateway", "ingest", "prometheus"]


def check_ops(project: Project) -> None:
    """All targets up, rules loaded, Grafana healthy; a second container of a service is found by itself."""
    project.compose("--profile", "ops", "up", "--detach", "--wait")
    wait_for("Prometheus has every service", _up, TARGETS, 40)
    expect("Grafana is healthy", _get(GRAFANA_PORT, "/api/health")["database"], "ok")
    ports = project.compose("--profile", "ops", "ps", "--format", "{{.Service}} {{.Ports}}").splitlines()
    public = [line.split()[0] for line in ports if "->" in line and "127.0.0.1" not in line]
    expect("neither is published beyond this machine", public, ["gateway"])
    project.compose("up", "--detach", "--wait", "--scale", "counter=2", "--no-recreate")
    wait_for("Prometheus finds a second counter", _up, sorted([*TARGETS, "counter"]), 60)
    project.compose("up", "--detach", "--wait", "--scale", "counter=1", "--no-recreate")
    _check_alertmanager()


def _check_alertmanager() -> None:
    """An Alertmanager is added by a file, while Prometheus runs."""
    file = ROOT / "deploy/prometheus/alertmanagers/smoke.yml"
    file.write_text('- targets: ["alertmanager.test:9093"]\n', "utf-8")
    try:
        wait_for("Prometheus has the Alertmanager of a new file", _alertmanagers, ["alertmanager.test"], 20)
    finally:
        file.unlink()


def _alertmanagers() -> list[str]:
    found = _get(PROMETHEUS_PORT, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    return [urlsplit(alertmanager["url"]).hostname or "" for alertmanager in found]


def _up() -> list[str]:
    """The jobs of the targets that are up."""
    found = _get(PROMETHEUS_PORT, f"/api/v1/query?query={quote('up == 1')}")["data"]["result"]
    return sorted(series["metric"]["job"] for series in found)


def _get(port: str, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)
