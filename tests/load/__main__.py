"""Find out what an installation of truycap carries, and what happens beyond that.

    make load                                  a truycap of its own on this machine, some 22 minutes
    make load ARGS="--hold 2 --settle 0 --faults counter redis ingest"
    docker compose --profile load up           the same against the services of docker-compose.yml

More and more readers come until it is too much; then 70 % of that is held, a day of a real log goes by, and ten times
the usual traffic comes for half a minute. Whatever happens, what was acknowledged must be counted, once. The report is
report.html, and report.json for programs. The exit code is 0 where every check holds, 1 where one does not, 2 where it
could not begin. The load goes to loopback or to services of compose alone.
"""

from gevent import monkey

monkey.patch_all()  # before anything else looks at sockets

import argparse  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import platform  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from random import Random  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import gevent  # noqa: E402
import psutil  # noqa: E402
from locust.env import Environment  # noqa: E402

from tests.load import report  # noqa: E402
from tests.load.course import Course  # noqa: E402
from tests.load.record import Run  # noqa: E402
from tests.load.samples import Looker  # noqa: E402
from tests.load.tally import Tally  # noqa: E402
from tests.load.target import Target, TargetError  # noqa: E402
from tests.load.users import Bot, Reader, Visitor, Watcher  # noqa: E402
from tests.load.verdict import Step  # noqa: E402

if TYPE_CHECKING:
    from tests.load.own import OwnTruycap

_STOP_SECONDS = 15
_OBJECTS = 50_000
"""Between two looks of the garbage collector, for which there is little to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _options()
    options = parser.parse_args(arguments)
    if options.ingest and options.faults:
        parser.error("--faults is for a truycap of the load's own. By hand: docker compose kill counter")
    for number in (signal.SIGINT, signal.SIGTERM):  # also where it was started in the background, or by Docker
        gevent.signal_handler(number, _interrupt, gevent.getcurrent())
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="truycap-load-")))
            if options.ingest:
                own, target = None, Target(options.ingest, options.counter, options.api, options.site)
            else:
                from tests.load.own import OwnTruycap

                own = stack.enter_context(OwnTruycap(folder, options.workers, options.streams))
                target = own.target
            target.check()
        except (TargetError, RuntimeError, OSError) as error:
            print(f"load: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        return _run(options, target, own)


def _run(options: argparse.Namespace, target: Target, own: "OwnTruycap | None") -> int:
    tally, run = Tally(), Run(_machine(), psutil.cpu_count() or 1, options.streams)
    Visitor.target, Visitor.tally, Visitor.seeds = target, tally, Random(options.seed)
    Watcher.fixed_count = options.streams
    environment = Environment(user_classes=[Reader, Bot, *([Watcher] if options.streams else [])])
    environment.stop_timeout = _STOP_SECONDS
    logging.getLogger("locust").setLevel(logging.CRITICAL)  # it finds that many users at once too many
    gc.freeze()
    gc.set_threshold(_OBJECTS)
    runner = environment.create_local_runner()
    looker = Looker(target, lambda: int(runner.user_count))
    run.seconds, run.samples = tally.seconds, looker.samples
    course = Course(runner, run, _say)
    if own:
        own.said = course.note
        _say("process ids, to kill one by hand: " + ", ".join(f"{name} {pid}" for name, pid in own.pids.items()))
    before, shown = looker.next(), target.page_views()
    held: Step | None = None
    try:
        course.ramp(options.users)
        if options.hold:
            kills = [partial(own.kill, name) for name in options.faults] if own else []
            held = course.hold(options.hold, options.settle, kills)
        if options.day:
            course.day(options.day)
        if options.spike:
            course.spike()
    except KeyboardInterrupt:
        _say("stopped: the report says what there is")
    course.end()
    after = looker.next()
    looker.stop()
    run.acknowledged, run.views, run.unsure, run.updates = tally.acknowledged, tally.views, tally.unsure, tally.updates
    run.before, run.after, run.difference = before.delivery, after.delivery, after.difference
    run.shown = target.page_views() - shown
    checks = report.write(options.report, run, course.steps, held)
    for check in checks:
        _say(f"{'yes' if check.holds else 'NO '}  {check.what}: {check.found}")
    _say(f"the report: {options.report / 'report.html'}")
    return int(not all(check.holds for check in checks))


def _interrupt(here: Any) -> None:
    """Ctrl-C goes to who leads the load: else it would be that of any reader who is just about."""
    gevent.get_hub().loop.run_callback(here.throw, KeyboardInterrupt)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--report", type=Path, default=Path("load-report"), metavar="FOLDER", help="where it goes (%(default)s)")
    add("--hold", type=float, default=10.0, metavar="MINUTES", help="how long 70 %% of the saturation is held (10)")
    add(
        "--settle",
        type=float,
        default=5.5,
        metavar="MINUTES",
        help="of the same before that, which are no part of it (5.5)",
    )
    add("--day", type=float, default=1.0, metavar="MINUTES", help="how long a day of the log takes, 0 for none (1)")
    add("--no-spike", dest="spike", action="store_false", help="without the spike")
    add("--users", type=int, default=20_000, metavar="N", help="readers at most in the ramp (%(default)s)")
    add("--streams", type=int, default=200, metavar="N", help="pages that are left open, with live numbers (200)")
    add("--seed", default="truycap", help="of all chance")
    add(
        "--faults",
        nargs="*",
        default=[],
        choices=["counter", "redis", "ingest", "api"],
        help="whom to kill (SIGKILL) while the load is held, in this order (a truycap of its own only)",
    )
    add("--workers", type=int, default=1, help="ingest's processes (a truycap of its own only)")
    add("--ingest", metavar="URL", help="of services that run already; with --counter, --api and --site")
    add("--counter", metavar="URL", default="http://counter:8002")
    add("--api", metavar="URL", default="http://api:8003")
    add("--site", default="load-test", help="a site that nobody else uses (%(default)s)")
    return parser


def _machine() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(models, platform.machine())
    return f"{model}, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} {platform.release()}"


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
