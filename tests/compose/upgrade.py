"""deploy/upgrade.sh under a light load: no event is lost, and none is even refused."""

from tests.compose.load import counted_once
from tests.compose.project import ROOT, Project
from tests.compose.said import expect

_SCALED = ("ingest", "counter", "api")


def check_upgrade(project: Project) -> None:
    """To another configuration in place of another version: Compose replaces the containers as well."""
    project.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "counter=2", "counter")
    before = {service: _containers(project, service) for service in _SCALED}
    started = _started(project)
    (ROOT / "deploy/clickhouse/users.xml").touch()
    with counted_once("upgrade") as load:
        project.run("deploy/upgrade.sh", TRUYCAP_LOG_LEVEL="warning")
    expect("upgrade: nothing was refused", load.resent, 0)
    after = {service: _containers(project, service) for service in _SCALED}
    expect("upgrade: other containers run", [name for name in _SCALED if before[name] & after[name]], [])
    expect("upgrade: as many as before", [len(after[name]) for name in _SCALED], [1, 2, 1])
    again = [name for name, time in _started(project).items() if time != started[name]]
    expect("upgrade: of the servers, the one whose file was touched started again", again, ["clickhouse"])


def _containers(project: Project, service: str) -> set[str]:
    return set(project.compose("ps", "--quiet", service).split())


def _started(project: Project) -> dict[str, str]:
    return {name: project.inspect(name)["State"]["StartedAt"] for name in ("redis", "clickhouse", "gateway")}
