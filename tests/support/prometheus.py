"""A real Prometheus for tests, on loopback, that looks at services every second."""

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from re import compile as pattern
from typing import Any

from tests.support.servers import Server, free_port

_CONFIG = """
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: {rules}
scrape_configs:
"""
_JOB = """
  - job_name: {job}
    file_sd_configs: [{{ files: [{job}.json] }}]
"""


def tool(name: str) -> str:
    """The path of a program of Prometheus. AssertionError where it is not installed."""
    found = shutil.which(name)
    assert found, f"{name} is missing. On Debian and Ubuntu: apt install prometheus"
    return found


class PrometheusServer(Server):
    """targets: the ports of each job; rules: files of rules, relative to the folder."""

    _ready = pattern(rb"Server is ready to receive web requests")

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[int]], rules: Sequence[str] = ()) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for job, ports in targets.items():
            self.target(job, ports)
        jobs = "".join(_JOB.format(job=job) for job in targets)
        (folder / "prometheus.yml").write_text(_CONFIG.format(rules=json.dumps(rules)) + jobs, "utf-8")

    def target(self, job: str, ports: Sequence[int]) -> None:
        """Where a job is found from now on; nowhere where there are no ports."""
        file = self.folder / f"{job}.json"
        written = file.with_suffix(".new")
        written.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]), "utf-8")
        written.replace(file)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is now: `metric`, the labels, and `value`, a time and the value as a string."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that are pending or firing: `labels`, `annotations`, `state`."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return found

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def _command(self) -> Sequence[str]:
        self.port = self.port or free_port()
        return [
            tool("prometheus"),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
