"""The unchanged docker-compose.yml, brought up and used from outside through the gateway.

    python -m tests.compose        (as root; nothing but Python and `docker compose`; exit code 1 on the first surprise)

It counts, rates, watches live and asks for statistics; tries the gateway with TLS; kills each container's process with
SIGKILL under a light load and wants the totals exact after each; upgrades under load; takes everything down and up
again; runs a short `--profile load`; and adds `--profile ops`. It runs as a project of its own, on ports (18000 and
others) and a network of its own, beside whatever else runs; at the end nothing of it is left. It takes four minutes,
and the engine to itself.

The engine is taken as it is: that it has the images which docker-compose.yml and deploy/Dockerfile name, or can pull
them, and that pip works in a build, is up to whoever starts this. Where those images are stand-ins (for a machine
without a registry), what is proved is the wiring, the settings that truycap reads, and truycap itself; not the servers
behind those names. A stand-in of ClickHouse, for example, may be its engine behind another HTTP server, which reads
deploy/clickhouse only as text; one of Grafana may do no more than read its files and be healthy.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.compose.client import numbers
from tests.compose.hardened import check_hardened, check_secrets
from tests.compose.kills import check_kills
from tests.compose.loaded import check_load
from tests.compose.ops import check_ops
from tests.compose.project import Project
from tests.compose.said import SmokeError, say, wait_for
from tests.compose.smoke import check_addresses, check_counting, check_edges, check_live, check_outage, check_verify
from tests.compose.tls import check_tls
from tests.compose.upgrade import check_upgrade

_ALL = ("--profile", "*")


def main() -> int:
    with TemporaryDirectory(prefix="truycap-smoke-") as folder:
        Path(folder).chmod(0o755)
        project = Project(Path(folder))
        try:
            run(project)
        except (SmokeError, OSError) as error:
            say(f"FAILED: {error}")
            print(project.compose(*_ALL, "logs", "--no-color", "--tail", "30", check=False), file=sys.stderr)
            return 1
        finally:
            project.compose(*_ALL, "down", "--volumes", check=False)
    say("down --volumes")
    return 0


def run(project: Project) -> None:
    check_hardened(project)
    project.compose(*_ALL, "down", "--volumes")
    project.compose("up", "--detach", "--build", "--wait")
    say("up: every service is healthy")
    check_counting()
    check_live()
    check_addresses(project)
    check_edges(project)
    check_outage(project)
    check_verify(project)
    check_tls(project)
    check_kills(project)
    check_upgrade(project)
    before = numbers()
    project.compose("down")
    project.compose("up", "--detach", "--wait")
    wait_for(f"the same numbers after down and up: {before}", numbers, before, 10)
    check_verify(project)
    check_load(project)
    check_ops(project)
    check_secrets(project)


if __name__ == "__main__":
    sys.exit(main())
