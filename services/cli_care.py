"""The commands of those who look after a store: check it, mend it, and keep it."""

from typing import Annotated

from cyclopts import App, Parameter

from services.cli_run import Config, OptionalData, output, run
from shared.errors import SaidError

dead_letters = App(name="dead-letters", help="What could not be counted, with its reason.")


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

    run(work())


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
    """Make the read model again from ClickHouse. Everything may go on running; counting pauses meanwhile, and Redis
    needs room for the read model twice.

    Where ClickHouse itself has lost events it refuses, and changes nothing, unless told to accept that.
    """
    from services.commands.care import run_rebuild
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            await run_rebuild(stores, output, store=store, accept_loss=accept_loss)

    run(work())


@dead_letters.command(name="list")
def list_dead_letters(*, data: OptionalData = None, config: Config = None) -> None:
    """What could not be counted: when, where, and why."""
    from services.commands.dead_letters import list_letters
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            await list_letters(stores, output)

    run(work())


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

    run(work())


def backup(
    destination: Annotated[
        str,
        Parameter(
            help="A path that is not there yet: a folder, on a server one in its backups.allowed_path. Or where else "
            'ClickHouse can write backups: "S3(...)", "Disk(...)".'
        ),
    ],
    *,
    data: OptionalData = None,
    config: Config = None,
) -> None:
    """Write both stores, as they are at one moment, into one backup. Everything may go on running.

    Counting pauses for a moment. Every event that was accepted before it is in the backup.
    """
    from services.commands.backup import run_backup
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config) as stores:
            await run_backup(stores, output, destination)

    run(work())


def restore(
    source: Annotated[str, Parameter(help="What `truycap backup` was given as its destination.")],
    *,
    replace: Annotated[
        bool, Parameter(negative="", help="Throw away what has been counted; the backup takes its place.")
    ] = False,
    data: OptionalData = None,
    config: Config = None,
) -> None:
    """Let both stores be as a backup has them. Everything may go on running; counting pauses meanwhile.

    What was accepted and is not counted yet is kept, and counted afterwards. Where it is cut off, run it again.
    """
    from services.commands.backup import run_restore
    from services.stores import open_stores

    async def work() -> None:
        async with open_stores(data, config, create=True) as stores:
            await run_restore(stores, output, source, replace=replace)

    run(work())
