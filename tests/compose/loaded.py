"""`--profile load`: a short load test against the running services, and the report that it leaves."""

from tests.compose.project import Project
from tests.compose.said import expect

_SHORT = ("--users", "300", "--hold", "0.1", "--settle", "0", "--day", "0", "--no-spike")


def check_load(project: Project) -> None:
    """Every check of the load holds (it fails otherwise), and its report can be fetched."""
    said = project.compose("run", "--build", "--rm", "--no-TTY", "load", *_SHORT).splitlines()
    expect("the load says where its report is", "/report/report.html" in said[-1], True)
    found = project.compose("run", "--rm", "--no-TTY", "--entrypoint", "ls", "load", "/report").split()
    expect("the report is there", found, ["report.html", "report.json"])
