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
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from contextlib import ExitStack, suppress  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from random import Random  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import gevent  # noqa: E402
import psutil  # noqa: E402
from locust.env import Environment  # noqa: E402

from tests.load import report  # noqa: E402
from tests.load.course import Course  # noqa: E402
from tests.load.delivery import send_again  # noqa: E402
from tests.load.record import Run  # noqa: E402
from tests.load.samples import Looker  # noqa: E402
from tests.load.tally import Tally  # noqa: E402
from tests.load.target import Target, TargetError  # noqa: E402
from tests.load.users import Bot, Reader, Visitor, Watcher  # noqa: E402
from tests.load.verdict import Step  # noqa: E402

if TYPE_CHECKING:
    from tests.load.own import OwnTruycap

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS = 15
_TOGETHER_SECONDS = 2.0
_OBJECTS = 50_000
"""Between two looks of the garbage collector, for which there is little to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    # Also where it was started in the background or by Docker, and where its terminal is closed.
    interrupt = _interrupting(gevent.getcurrent())
    watchers = [gevent.signal_handler(number, interrupt) for number in _SIGNALS]
    _allow_connections(2 * options.users + options.streams)
    with ExitStack() as stack:
        try:
            options.report.mkdir(parents=True, exist_ok=True)  # not to find out after half an hour
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="truycap-load-")))
            if options.ingest:
                own, target = None, Target(options.ingest, options.counter, options.api, options.site)
            else:
                from tests.load.own import OwnTruycap

                own = stack.enter_context(OwnTruycap(folder, options.workers, options.streams))
                target = own.target
            target.check()
            return _run(options, target, own)
        except (TargetError, RuntimeError, AssertionError, OSError) as error:
            print(f"load: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("load: given up, without a report", file=sys.stderr)
            return 130
        finally:
            for number, watcher in zip(_SIGNALS, watchers, strict=True):
                watcher.cancel()
                signal.signal(number, signal.SIG_IGN)  # whoever was started is ended, whatever comes


def _run(options: argparse.Namespace, target: Target, own: "OwnTruycap | None") -> int:
    tally, run = Tally(), Run(_machine(), psutil.cpu_count() or 1, options.streams, options.workers)
    run.expected = bool(options.faults or options.expect_faults)
    Visitor.target, Visitor.tally, Visitor.seeds = target, tally, Random(options.seed)
    Watcher.fixed_count = options.streams
    environment = Environment(user_classes=[Reader, Bot, *([Watcher] if options.streams else [])])
    environment.stop_timeout = _STOP_SECONDS
    environment.events.user_error.add_listener(  # type: ignore[no-untyped-call]
        lambda exception, **_: tally.errors.append(repr(exception))
    )
    logging.getLogger("locust").setLevel(logging.CRITICAL)  # it finds that many users at once too many
    gc.freeze()
    gc.set_threshold(_OBJECTS)
    runner = environment.create_local_runner()
    looker = Looker(target, lambda: int(runner.user_count))
    run.seconds, run.samples = tally.seconds, looker.samples
    course = Course(runner, run, partial(setattr, Visitor, "pace"), _say)
    if own:
        own.told = course.note
        _say("process ids, to kill one by hand: " + ", ".join(f"{name} {pid}" for name, pid in own.pids.items()))
    try:
        run.before, shown = looker.next().delivery, target.page_views()
        held = _lead(options, course, run, own)
        course.end(partial(send_again, target, tally))
        with suppress(TargetError, OSError, ValueError, KeyError):  # what is not known fails its check
            after = looker.next()
            run.after, run.difference, run.shown = after.delivery, after.difference, target.page_views() - shown
    finally:
        looker.stop()
    run.acknowledged, run.views, run.unsure, run.pixels = (
        tally.acknowledged,
        tally.views,
        len(tally.unsure),
        tally.pixels,
    )
    run.unheard, run.updates, run.errors = tally.unheard, tally.updates, tally.errors
    checks = report.write(options.report, run, course.steps, held)
    for check in checks:
        _say(f"{'yes' if check.holds else 'NO '}  {check.what}: {check.found}")
    _say(f"the report: {options.report / 'report.html'}")
    return int(not all(check.holds for check in checks))


def _lead(options: argparse.Namespace, course: Course, run: Run, own: "OwnTruycap | None") -> Step | None:
    """Through the phases that were asked for. The step that was held, where one was."""
    held: Step | None = None
    kills = {options.faults_in: [partial(own.kill, name) for name in options.faults]} if own else {}
    try:
        course.idle()
        course.ramp(options.users)
        if options.hold:
            held = course.hold(options.hold, options.settle, kills.get("hold", ()))
        if options.day:
            course.day(options.day)
        if options.spike:
            course.spike(kills.get("spike", ()))
    except KeyboardInterrupt:
        run.stopped = True
        _say("stopped: readers leave, and then the report says what there is (within two minutes; Ctrl-C again: none)")
    return held


def _allow_connections(most: int) -> None:
    """Let this process have so many open, as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and most + 100 > hard:
        _say(f"this process may have {hard:,} connections, and {most:,} may be needed: see `ulimit -Hn`")


def _interrupting(here: Any) -> Callable[[], None]:
    """Ctrl-C goes to who leads the load: else it would be that of any reader who is just about.

    At once again is the same: `timeout make load` sends it twice, to make, which passes it on, and to everybody.
    """
    last = float("-inf")

    def interrupt() -> None:
        nonlocal last
        if time.monotonic() > last + _TOGETHER_SECONDS:
            last = time.monotonic()
            gevent.get_hub().loop.run_callback(here.throw, KeyboardInterrupt)

    return interrupt


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--report", type=Path, default=Path("load-report"), metavar="FOLDER", help="where it goes (%(default)s)")
    add("--hold", type=_amount, default=10.0, metavar="MINUTES", help="how long 70 %% of the saturation is held (10)")
    add("--settle", type=_amount, default=5.5, metavar="MINUTES", help="of the same before, not judged (5.5)")
    add("--day", type=_amount, default=1.0, metavar="MINUTES", help="how long a day of the log takes, 0 for none (1)")
    add("--no-spike", dest="spike", action="store_false", help="without the spike")
    add("--users", type=_number, default=9_000, metavar="N", help="readers at most in the ramp (%(default)s)")
    add("--streams", type=_count, default=200, metavar="N", help="pages that are left open, with live numbers (200)")
    add("--seed", default="truycap", help="of all chance")
    add(
        "--faults",
        nargs="*",
        default=[],
        choices=["counter", "redis", "ingest", "api"],
        help="whom to kill (SIGKILL) while the load is held, in this order (a truycap of its own only)",
    )
    add("--faults-in", choices=["hold", "spike"], default="hold", help="when to kill them (%(default)s)")
    add("--expect-faults", action="store_true", help="you will kill services by hand: what fails meanwhile is no error")
    add("--workers", type=_number, default=1, help="ingest's processes")
    add("--ingest", type=_url, metavar="URL", help="of services that run already; with --counter, --api and --site")
    add("--counter", type=_url, metavar="URL", default="http://counter:8002", help="(%(default)s)")
    add("--api", type=_url, metavar="URL", default="http://api:8003", help="(%(default)s)")
    add("--site", default="load-test", help="a site that nobody else uses (%(default)s)")
    options = parser.parse_args(arguments)
    changed = [name for name in ("counter", "api", "site") if getattr(options, name) != parser.get_default(name)]
    if changed and not options.ingest:
        parser.error(f"--{changed[0]} is for services that run already: give --ingest too")
    if options.ingest and options.faults:
        parser.error(
            "--faults is for a truycap of the load's own. By hand: --expect-faults, docker compose kill counter"
        )
    if options.faults and options.faults_in == "hold" and not options.hold:
        parser.error("--faults kill while the load is held: give --hold some minutes, or --faults-in spike")
    if options.faults_in == "spike" and not (options.faults and options.spike):
        parser.error("--faults-in spike needs --faults and the spike")
    return options


def _url(text: str) -> str:
    return text.rstrip("/")


def _amount(text: str) -> float:
    if not 0 <= (value := float(text)) < float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise ValueError
    return value


def _number(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


_amount.__name__, _count.__name__, _number.__name__ = "amount, 0 or more,", "number, 0 or more,", "number, 1 or more,"


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
