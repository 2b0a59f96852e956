"""How the containers are kept: what they may do, how much they may take, and that no password shows."""

import json
from urllib.parse import quote

from tests.compose.project import PASSWORDS, Project
from tests.compose.said import expect

MEMORY = 2 * 1024**3
_PASSING = {"migrate", "truycap", "load"}
"""What runs for a moment, before the others or when it is asked to."""
_ALL = ("--profile", "*")


def check_hardened(project: Project) -> None:
    """Of every service, also those that are not running: as compose will start it."""
    services = json.loads(project.compose(*_ALL, "config", "--format", "json"))["services"]
    for name, service in services.items():
        user = service.get("user", "0").split(":")[0]
        found = (service["read_only"], service["cap_drop"], service["security_opt"], user not in {"0", "root"})
        expect(
            f"{name} is read-only, without capabilities, not root",
            found,
            (True, ["ALL"], ["no-new-privileges:true"], True),
        )
    limits = sum(int(service["mem_limit"]) for name, service in services.items() if name not in _PASSING)
    expect(f"the memory limits come to {limits // 1024**2} MiB, below 2 GiB", limits < MEMORY, True)


def check_secrets(project: Project) -> None:
    """In no list of processes, no environment, no log, and no error."""
    containers = project.compose(*_ALL, "ps", "--all", "--quiet").split()
    running = project.compose(*_ALL, "ps", "--quiet").split()
    seen = project.docker("inspect", *containers) + project.compose(*_ALL, "logs", "--no-color")
    seen += "".join(project.docker("top", container, "-eo", "pid,args") for container in running)
    elsewhere = ["--env", "TRUYCAP_REDIS_URL=redis://nobody:1", "--entrypoint", "sh", "truycap", "-c"]
    error = project.compose("run", "--rm", "--no-TTY", *elsewhere, "truycap verify 2>&1 || true")
    expect("an error shows the address without the password", "redis://:***@nobody:1" in error, True)
    for name, password in PASSWORDS.items():
        shows = any(form in seen + error for form in (password, quote(password, safe="")))
        expect(f"{name} shows nowhere", shows, False)
