"""`--profile load`: a short load test against the running services, and the report that it leaves."""

from tests.compose.project import Project
from tests.compose.said import expect

_SHORT = ("--users", "300", "--hold", "0.1", "--settle", "0", "--day", "0", "--no-spike")


def check_load(project: Project) -> None:
    """What is delivered adds up, however busy this machine is, and the report can be fetched."""
    said = project.compose("run", "--build", "--rm", "--no-TTY", "load", *_SHORT, check=False)
    for what in ("The delivery identity is exact", "Every acknowledged page view is counted", "Nothing waits any more"):
        expect(f"the load: {what}", f"yes  {what}" in said, True)
    found = project.compose("run", "--rm", "--no-TTY", "--entrypoint", "ls", "load", "/report").split()
    expect("the report is there", found, ["report.html", "report.json"])
