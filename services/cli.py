"""The `truycap` command."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import uvloop
from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError
from rich.console import Console

from shared import ending, log
from shared.errors import SaidError, TruycapError
from shared.settings import load_settings

app = App(
    name="truycap",
    help="Live visit counters and article ratings for portal websites, exactly once.",
    help_format="markdown",
    version=version("truycap"),
    version_flags=["--version"],
)
imports = app.command(App(name="import", help="Carry over what was counted before truycap."))
dead_letters = app.command(App(name="dead-letters", help="What could not be counted, with its reason."))

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False, soft_wrap=True)

Host = Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 for all.")]
Port = Annotated[int, Parameter(help="The port to listen on.")]
Data = Annotated[Path, Parameter(help="The folder that holds everything counted.")]
OptionalData = Annotated[
    Path | None,
    Parameter(help="The folder of `truycap up`, running or not. By default the servers of the environment, or ./data."),
]
Config = Annotated[Path | None, Parameter(help="The file that names the sites (default: truycap.toml).")]
Workers = Annotated[int, Parameter(help="Processes that share the port.")]
WorkerOf = Annotated[int | None, Parameter(show=False)]
SiteId = Annotated[str, Parameter(name=["--site", "-s"], help="The site's id, as in truycap.toml.")]


@app.command
def up(*, host: Host = "127.0.0.1", port: Port = 8000, data: Data = Path("data"), config: Config = None) -> None:
    """Everything on one machine: Redis, chDB, ingest, counter, api, and a demo portal page at /demo.

    No Docker and no servers are needed. Ctrl-C stops it; the next start finds all numbers again.
    """
    from services.commands.up import announce
    from services.embedded.app import up as run_up

    _run(run_up(host, port, data, config, lambda folder, site: announce(host, port, folder, site)))


@app.command
def ingest(*, host: Host = "127.0.0.1", port: Port = 8001, workers: Workers = 1, worker_of: WorkerOf = None) -> None:
    """Only the service that takes events: POST /v1/events and the pixel. Needs Redis (TRUYCAP_REDIS_URL)."""
    from services.commands.ingest import run_ingest
    from services.commands.workers import run_workers

    if workers > 1:
        _run(run_workers("ingest", host, port, workers))
    else:
        _run(run_ingest(load_settings(), host, port, parent=worker_of))


@app.command
def counter(*, host: Host = "127.0.0.1", port: Port = 8002) -> None:
    """Only the service that counts: from the stream into ClickHouse and the read model.

    Run as many as you like: each shard is counted by one of them, and taken over by another when that one dies.
    Needs Redis (TRUYCAP_REDIS_URL) and ClickHouse (TRUYCAP_CLICKHOUSE_DSN).
    """
    from services.commands.counter import run_counter

    _run(run_counter(load_settings(), host, port))


@app.command
def api(*, host: Host = "127.0.0.1", port: Port = 8003, workers: Workers = 1, worker_of: WorkerOf = None) -> None:
    """Only the service that widgets ask: counts, live numbers, items, statistics. Needs Redis and ClickHouse."""
    from services.commands.api import run_api
    from services.commands.workers import run_workers

    if workers > 1:
        _run(run_workers("api", host, port, workers))
    else:
        _run(run_api(load_settings(), host, port, parent=worker_of))


@app.command
def migrate(
    *, dry_run: Annotated[bool, Parameter(negative="", help="Only show the statements that would be run.")] = False
) -> None:
    """Create or update the ClickHouse schema (TRUYCAP_CLICKHOUSE_DSN).

    Refused, with exit code 2, where the schema is newer than this program.
    """
    from services.commands.migrate import run_migrate, show_migrations

    _run((show_migrations if dry_run else run_migrate)(load_settings(), output))


@imports.command(name="access-log")
def import_access_log(
    file: Annotated[Path, Parameter(help="An Apache or nginx log in the combined format, plain or .gz.")],
    *,
    site: SiteId,
    data: OptionalData = None,
    config: Config = None,
) -> None:
    """Page views from a web server's log, with their original times, bots apart.

    Images, styles, scripts, feeds and failed requests are left out. Addresses are hashed. Importing a file again
    changes nothing.
    """
    from services.commands.import_access_log import import_access_log as run_import
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config, count=True) as stores:
            await stores.unless_counting_fails(run_import(stores, file, site, output))

    _run(work())


@app.command
def verify(*, data: OptionalData = None, config: Config = None) -> None:
    """Check that nothing was lost or counted twice; exit code 1 and a line for each difference where something was.

    Compares accepted = counted + rejected + dead-lettered + waiting, the read model with ClickHouse number by number,
    and the roll-ups with the events. Everything may go on running.
    """
    from services.commands.care import run_verify
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            if not await run_verify(stores, output):
                raise SaidError(1)

    _run(work())


@app.command
def rebuild(
    *,
    store: Annotated[
        bool,
        Parameter(
            negative="",
            help="First mend ClickHouse itself: drop rows that stand at a position that another row has, and make the "
            "roll-ups again from the events.",
        ),
    ] = False,
    accept_loss: Annotated[
        bool,
        Parameter(
            negative="", help="Do so even where ClickHouse has lost events: the read model then forgets them too."
        ),
    ] = False,
    data: OptionalData = None,
    config: Config = None,
) -> None:
    """Make the read model again from ClickHouse. Everything may go on running; counting pauses meanwhile.

    Where ClickHouse itself has lost events it refuses, and changes nothing, unless told to accept that.
    """
    from services.commands.care import run_rebuild
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            await run_rebuild(stores, output, store=store, accept_loss=accept_loss)

    _run(work())


@dead_letters.command(name="list")
def list_dead_letters(*, data: OptionalData = None, config: Config = None) -> None:
    """What could not be counted: when, where, and why."""
    from services.commands.dead_letters import list_letters
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            await list_letters(stores, output)

    _run(work())


@dead_letters.command(name="replay")
def replay_dead_letters(
    *,
    reason: Annotated[str | None, Parameter(help="Only letters of this reason, as `list` shows it.")] = None,
    data: OptionalData = None,
    config: Config = None,
) -> None:
    """Put dead letters back onto the stream, once their cause is mended: a site configured, a new version installed."""
    from services.commands.dead_letters import replay_letters
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config, count=True) as stores:
            await stores.unless_counting_fails(replay_letters(stores, output, reason))

    _run(work())


@app.command
def snippet(
    site: Annotated[str, Parameter(help="The site's id, as in truycap.toml.")],
    *,
    url: Annotated[str, Parameter(help="Where browsers reach truycap.")] = "http://127.0.0.1:8000",
    config: Config = None,
) -> None:
    """The HTML to paste into a portal's pages."""
    from services.commands.snippet import snippet as text
    from services.stores import embedded_sites

    settings = load_settings(**({} if config is None else {"config": config}))
    output.print(text(embedded_sites(settings).find(site).id, url), end="", soft_wrap=True, markup=False)


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed or differences found, 2 something to be set right first."""
    try:
        app(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(" ".join(str(error).split()) + " Try: truycap --help", 2)
    except TruycapError as error:
        _fail(error.message, error.exit_code)
    except SaidError as said:
        _end(said.exit_code)
    except KeyboardInterrupt:
        _end(130)
    except asyncio.CancelledError:  # SIGTERM, before a service could answer it
        _end(143)
    except Exception as error:  # nobody foresaw it; the way out is the same, for a thread may hang
        log.get(__name__).exception("a mistake in truycap")
        _fail(f"A mistake in truycap: {error!r}", 1)


def _fail(message: str, exit_code: int) -> None:
    errors.print(f"truycap: {message}", style="red", markup=False, soft_wrap=True)
    _end(exit_code)


def _end(exit_code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that would wait for a thread in which ClickHouse's driver hangs.
    os._exit(exit_code)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        settings = load_settings()
    except TruycapError:
        work.close()
        raise
    log.configure(settings.log_format, settings.log_level)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    runner.run(_stoppable(work))
    _end(0)


async def _stoppable(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM cancels, as Ctrl-C does, until a server answers it (shared.serve). A second one changes nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101 - of runner.run

    def cancel() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        ending.begin(exit_code=143)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, cancel)
    await work


if __name__ == "__main__":
    main()
