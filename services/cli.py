"""The `truycap` command."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import uvloop
from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError
from rich.console import Console

from shared import log
from shared.errors import TruycapError
from shared.settings import load_settings

app = App(
    name="truycap",
    help="Live visit counters and article ratings for portal websites, exactly once.",
    help_format="plaintext",
    version_flags=["--version"],
)
imports = app.command(App(name="import", help="Carry over what was counted before truycap."))

errors = Console(stderr=True, highlight=False)

Host = Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 for all.")]
Port = Annotated[int, Parameter(help="The port to listen on.")]
Data = Annotated[Path, Parameter(help="The folder that holds everything counted.")]
OptionalData = Annotated[
    Path | None,
    Parameter(help="The folder of `truycap up`, running or not. By default the servers of the environment, or ./data."),
]
Config = Annotated[Path | None, Parameter(help="The file that names the sites (default: truycap.toml).")]
SiteId = Annotated[str, Parameter(name=["--site", "-s"], help="The site's id, as in truycap.toml.")]


@app.command
def up(*, host: Host = "127.0.0.1", port: Port = 8000, data: Data = Path("data"), config: Config = None) -> None:
    """Everything on one machine: Redis, chDB, ingest, counter, api, and a demo portal page at /demo.

    No Docker and no servers are needed. Ctrl-C stops it; the next start finds all numbers again.
    """
    from services.commands.up import announce  # noqa: PLC0415 - a command loads what it needs
    from services.embedded.app import up as run_up  # noqa: PLC0415

    _run(run_up(host, port, data, config, lambda folder: announce(host, port, folder)))


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed or differences found, 2 something to be set right first."""
    try:
        app(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(" ".join(str(error).split()) + " Try: truycap --help", 2)
    except TruycapError as error:
        _fail(error.message, error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, exit_code: int) -> None:
    errors.print(f"truycap: {message}", style="red", markup=False, soft_wrap=True)
    sys.exit(exit_code)


def _run(work: Coroutine[Any, Any, None]) -> None:
    settings = load_settings()
    log.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
