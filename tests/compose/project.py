"""The project that docker-compose.yml makes under test: its own name, ports, network and passwords."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.compose.said import SmokeError

ROOT = Path(__file__).resolve().parents[2]
NAME = "truycap-smoke"
PORT, TLS_PORT, PROMETHEUS_PORT, GRAFANA_PORT = "18000", "18443", "18090", "18030"
SERVICES = ("redis", "clickhouse", "ingest", "counter", "api", "gateway")
"""What runs without a profile; `migrate` has ended."""
# With what must be encoded in addresses; what would end a quoted word of redis.conf is told not to be used.
PASSWORDS = {name: f"{name}@:/?#% &'$x" for name in ("redis_password", "clickhouse_password", "grafana_password")}


class Project:
    """`docker compose` with that environment. secrets: a folder that the passwords are written to."""

    def __init__(self, secrets: Path) -> None:
        for name, password in PASSWORDS.items():
            (secrets / name).write_text(f"{password}\n", "utf-8")
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": NAME,
            "COMPOSE_PROFILES": "",
            "GATEWAY_PORT": PORT,
            "GATEWAY_TLS_PORT": TLS_PORT,
            "PROMETHEUS_PORT": PROMETHEUS_PORT,
            "GRAFANA_PORT": GRAFANA_PORT,
            "NETWORK_SUBNET": os.environ.get("NETWORK_SUBNET", "172.30.81.0/24"),
            "SECRETS_DIR": str(secrets),
            # All events come from one address here.
            "TRUYCAP_RATE_LIMIT": "0",
        }

    def compose(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """What `docker compose` printed; SmokeError where it failed."""
        return self.run("docker", "compose", *arguments, check=check, **environment)

    def truycap(self, *arguments: str) -> str:
        """A command of `truycap` in a container of its own."""
        return self.compose("run", "--rm", "--no-TTY", "truycap", *arguments)

    def docker(self, *arguments: str) -> str:
        return self.run("docker", *arguments)

    def inspect(self, service: str) -> dict[str, Any]:
        """The container of a service, as Docker describes it."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        described: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return described

    def kill(self, service: str) -> int:
        """SIGKILL for the container's first process, which, unlike `docker kill`, lets Docker restart it. Needs root.

        Returns how often it has been restarted before.
        """
        described = self.inspect(service)
        try:
            os.kill(described["State"]["Pid"], signal.SIGKILL)
        except PermissionError:
            raise SmokeError(f"Only root may kill the process of {service}; run this as root.") from None
        return int(described["RestartCount"])

    def is_back(self, service: str, restarts: int) -> bool:
        """Whether Docker has restarted it more often than so and finds it healthy."""
        described = self.inspect(service)
        healthy: bool = described["State"]["Health"]["Status"] == "healthy"
        return healthy and described["RestartCount"] > restarts

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """What a command printed; SmokeError where it failed."""
        variables = {**self.environment, **environment}
        done = subprocess.run(command, cwd=ROOT, env=variables, text=True, capture_output=True, check=False)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr[-4000:]}"
            raise SmokeError(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
        return done.stdout
