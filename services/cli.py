"""The `truycap` command."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from services.cli_care import backup, dead_letters, rebuild, restore, verify
from services.cli_run import Config, OptionalData, end, fail, output, run
from shared import log
from shared.errors import SaidError, TruycapError, described
from shared.settings import load_settings

app = App(
    name="truycap",
    help="Live visit counters and article ratings for portal websites, exactly once.",
    help_format="markdown",
    version=version("truycap"),
    version_flags=["--version"],
)
imports = app.command(App(name="import", help="Carry over what was counted before truycap."))
app.command(verify)
app.command(rebuild)
app.command(backup)
app.command(restore)
app.command(dead_letters)

Host = Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 for all.")]
Port = Annotated[int, Parameter(help="The port to listen on.")]
Data = Annotated[Path, Parameter(help="The folder that holds everything counted.")]
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

    run(run_up(host, port, data, config, lambda folder, site: announce(host, port, folder, site)), "up")


@app.command
def ingest(*, host: Host = "127.0.0.1", port: Port = 8001, workers: Workers = 1, worker_of: WorkerOf = None) -> None:
    """Only the service that takes events: POST /v1/events and the pixel. Needs Redis (TRUYCAP_REDIS_URL)."""
    from services.commands.ingest import run_ingest
    from services.commands.workers import run_workers

    if workers > 1:
        run(run_workers("ingest", host, port, workers), "ingest")
    else:
        run(run_ingest(load_settings(), host, port, parent=worker_of), "ingest")


@app.command
def counter(*, host: Host = "127.0.0.1", port: Port = 8002) -> None:
    """Only the service that counts: from the stream into ClickHouse and the read model.

    Run as many as you like: each shard is counted by one of them, and taken over by another when that one dies.
    Needs Redis (TRUYCAP_REDIS_URL) and ClickHouse (TRUYCAP_CLICKHOUSE_DSN).
    """
    from services.commands.counter import run_counter

    run(run_counter(load_settings(), host, port), "counter")


@app.command
def api(*, host: Host = "127.0.0.1", port: Port = 8003, workers: Workers = 1, worker_of: WorkerOf = None) -> None:
    """Only the service that widgets ask: counts, live numbers, items, statistics. Needs Redis and ClickHouse."""
    from services.commands.api import run_api
    from services.commands.workers import run_workers

    if workers > 1:
        run(run_workers("api", host, port, workers), "api")
    else:
        run(run_api(load_settings(), host, port, parent=worker_of), "api")


@app.command
def migrate(
    *, dry_run: Annotated[bool, Parameter(negative="", help="Only show the statements that would be run.")] = False
) -> None:
    """Create or update the ClickHouse schema (TRUYCAP_CLICKHOUSE_DSN).

    Refused, with exit code 2, where the schema is newer than this program.
    """
    from services.commands.migrate import run_migrate, show_migrations

    run((show_migrations if dry_run else run_migrate)(load_settings(), output))


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

    run(work())


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
        fail(" ".join(str(error).split()) + " Try: truycap --help", 2)
    except TruycapError as error:
        fail(error.message, error.exit_code)
    except SaidError as said:
        end(said.exit_code)
    except KeyboardInterrupt:
        end(130)
    except asyncio.CancelledError:  # SIGTERM, before a service could answer it
        end(143)
    except Exception as error:  # nobody foresaw it; the way out is the same, for a thread may hang
        log.get(__name__).exception("a mistake in truycap")
        fail(f"A mistake in truycap: {described(error)}", 1)


if __name__ == "__main__":
    main()
