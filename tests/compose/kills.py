"""SIGKILL for each container's process under a light load, with the totals exact after each."""

import time

from tests.compose.load import RECOVERY_SECONDS, counted_once
from tests.compose.project import SERVICES, Project
from tests.compose.said import expect, wait_for
from tests.compose.smoke import check_verify

_BEFORE_AND_AFTER_SECONDS = 1.0


def check_kills(project: Project) -> None:
    """Each container in turn."""
    for service in SERVICES:
        with counted_once(service):
            time.sleep(_BEFORE_AND_AFTER_SECONDS)
            _kill(project, service)
            time.sleep(_BEFORE_AND_AFTER_SECONDS)
        check_verify(project)
    listed = project.truycap("dead-letters", "list")
    expect("nothing was dead-lettered", listed.strip(), "There are no dead letters.")


def _kill(project: Project, service: str) -> None:
    restarts = project.kill(service)
    wait_for(f"{service}: killed, healthy again", lambda: project.is_back(service, restarts), True, RECOVERY_SECONDS)
