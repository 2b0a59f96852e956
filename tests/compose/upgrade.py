"""deploy/upgrade.sh under a light load: no event is lost, and none is even refused."""

from tests.compose.load import counted_once
from tests.compose.project import Project
from tests.compose.said import expect


def check_upgrade(project: Project) -> None:
    """To another configuration in place of another version: Compose replaces the containers as well."""
    before = {service: project.inspect(service)["Id"] for service in ("ingest", "counter", "api")}
    with counted_once("upgrade") as load:
        project.run("deploy/upgrade.sh", TRUYCAP_LOG_LEVEL="warning")
    expect("upgrade: nothing was refused", load.resent, 0)
    after = {service: project.inspect(service)["Id"] for service in before}
    expect("upgrade: other containers run", [name for name in before if before[name] == after[name]], [])
