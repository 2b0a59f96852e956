"""What the load test says of a run, and that it goes to nobody else's machine."""

import json
import re
import socket
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.bench.traffic import page_views
from tests.load import report, target
from tests.load.checks import SETTLING, calm_again, checks, outages
from tests.load.portal import hours, page_view, someone, views
from tests.load.record import Fault, Phase, Run, Sample
from tests.load.tally import COUNTS, CUT_OFF, EVENTS, Second, percentile, rounded
from tests.load.target import Target, TargetError
from tests.load.verdict import BYTES_PER_VIEW, BYTES_PER_VISITOR, Step, best, bottleneck, cores, needs, saturation, step

BEGIN = 1_000.0


def measured(users: int, rate: float, **other: object) -> Step:
    well = {"p50": 5.0, "p95": 20.0, "p99": 40.0, "reads": 20.0, "shed": 0.0, "lost": 0.0, "oldest": 0.2, "cpu": {}}
    return Step(users=users, rate=rate, **(well | other))  # type: ignore[arg-type]


def delivered(**states: float) -> dict[str, float]:
    return {"accepted": 0.0, "counted": 0.0, "rejected": 0.0, "dead_lettered": 0.0, "waiting": 0.0} | states


def held(
    memory: float = 100.0, status: str = "202", settled: float = 330.0, silent: bool = False, late: float = 0.3
) -> Run:
    """Ten minutes held, in which the counter grew to so many MB, after so many seconds of the same.

    silent: it did not answer once; late: how long something waited once, s.
    """
    phases = [Phase(SETTLING, 10, BEGIN - settled, BEGIN), Phase("hold", 10, BEGIN, BEGIN + 600)]
    run = Run("a machine", 2, 10, phases=phases, ramp="more readers brought no more events")
    run.before, run.after = delivered(), delivered(accepted=600, counted=600)
    run.acknowledged, run.views, run.shown = 600, 600, 600
    for second in range(600):
        size = 100.0 if second < 300 else memory
        at = BEGIN + second
        run.samples.append(Sample(at, memory={"counter": size}, oldest=0.3, waiting=3, read_at=at))
        run.seconds[int(BEGIN) + second] = Second({EVENTS: Counter({status: 1})}, {EVENTS: Counter({5: 1})})
    run.samples[100].silent = ["counter"] if silent else []
    run.samples[200].oldest = late
    return run


def failed(run: Run) -> list[str]:
    return [check.what for check in checks(run) if not check.holds]


def test_a_run_in_which_all_is_well() -> None:
    assert failed(held()) == []


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (held(memory=106.0), "memory"),
        (held(status="503"), "no error"),
        (held(status=CUT_OFF), "no error"),
        (held(status="500"), "no error"),
        (held(silent=True), "Every service"),
        (held(late=3.0), "the lag"),
    ],
)
def test_what_may_not_be_while_the_load_is_held(run: Run, what: str) -> None:
    (found,) = failed(run)
    assert what in found


def test_a_lag_that_grows_is_not_flat() -> None:
    run = held()
    for sample in run.samples[-60:]:
        sample.oldest = 0.7
    assert failed(run) == ["While held: the lag does not grow, mean of the first minute and of the last"]


def test_memory_that_had_no_time_to_fill_is_not_judged() -> None:
    assert failed(held(memory=106.0, settled=60.0)) == []


def test_what_was_not_seen_is_not_well() -> None:
    run = held()
    run.samples = [Sample(sample.at, silent=["api"]) for sample in run.samples]
    run.after = {}
    assert [name.split(":")[0] for name in failed(run)] == [
        "The delivery identity is exact",
        "All that was acknowledged was accepted",
        "Nothing waits any more",
        "Every service ran and answered all the time",
        "While held",
        "While held",
        "While held",
    ]


def test_a_fault_is_an_error_but_where_it_is_expected() -> None:
    run = held(status=CUT_OFF)
    run.faults = [Fault(BEGIN + 100, "counter has ended", loss=True)]
    assert len(failed(run)) == 2
    run.expected = True
    assert failed(run) == []
    for sample in run.samples[100:]:
        sample.oldest = 2.0
    assert failed(run) == ["After every fault nothing waits for longer than a second, within 60 s"]


def test_what_is_held_before_the_faults_is_judged() -> None:
    run = held(status=CUT_OFF)
    run.expected = True
    run.faults = [Fault(BEGIN + 610, "counter is killed (SIGKILL)", loss=True)]
    run.samples.append(Sample(BEGIN + 615, oldest=0.3, waiting=3, read_at=BEGIN + 615))
    assert failed(run) == ["While held: no error"]


def test_a_load_that_was_stopped_or_went_wrong_shows_nothing() -> None:
    run = held()
    run.stopped, run.errors = True, ["KeyError('a')"]
    assert failed(run) == ["The load went to its end", "The load itself made no mistake"]


@pytest.mark.parametrize(
    ("after", "shown", "what"),
    [
        (delivered(accepted=600, counted=599), 599, ["The delivery identity", "Every acknowledged"]),
        (delivered(accepted=600, counted=601), 601, ["The delivery identity", "Every acknowledged"]),
        (delivered(accepted=600, counted=598, waiting=2), 600, ["Nothing waits"]),
        (delivered(accepted=600, counted=599, dead_lettered=1), 600, ["No dead letter"]),
        (delivered(accepted=599, counted=599), 600, ["All that was acknowledged"]),
    ],
)
def test_what_is_lost_or_twice_fails(after: dict[str, float], shown: int, what: list[str]) -> None:
    run = held()
    run.after, run.shown = after, shown
    assert [name for name in what if any(found.startswith(name) for found in failed(run))] == what
    assert len(failed(run)) == len(what)


def test_a_page_view_without_an_answer_may_be_counted_or_not() -> None:
    run = held()
    run.unsure = 1
    for shown in (600, 601):
        run.shown, run.after = shown, delivered(accepted=shown, counted=shown)
        assert failed(run) == []


def test_the_ramp_ends_where_it_is_too_much_or_brings_no_more() -> None:
    more = [measured(100, 100), measured(150, 148)]
    assert not saturation(more)
    assert "no more events" in saturation([*more, measured(225, 150)])
    assert "600 ms" in saturation([*more, measured(225, 220, p95=600.0)])
    assert "700 ms" in saturation([*more, measured(225, 220, reads=700.0)])
    assert "1.0%" in saturation([*more, measured(225, 220, shed=0.01)])
    assert "1.0%" in saturation([*more, measured(225, 220, lost=0.01)])
    assert "waited 3.0 s" in saturation([*more, measured(225, 220, oldest=3.0)])
    assert best([*more, measured(225, 220, p95=600.0)]) == more[1]
    assert best([measured(225, 220, p95=600.0)]) is None


def test_a_step_is_what_was_answered_and_used_meanwhile() -> None:
    answers = {EVENTS: Counter({"202": 90, "503": 8, CUT_OFF: 1}), COUNTS: Counter({"500": 1})}
    second = Second(answers, {EVENTS: Counter({10: 95, 200: 5}), COUNTS: Counter({30: 1})})
    samples = [Sample(BEGIN + at, cpu={"api": at * 0.5, "machine": 2.0 * at, "load": 0.1 * at}) for at in range(11)]
    found = step(7, second, samples, 10)
    assert (found.rate, found.shed, found.lost) == (9.0, 0.08, 0.02)
    assert (found.p50, found.p95, found.p99, found.reads) == (10.0, 10.0, 200.0, 30.0)
    assert found.cpu == pytest.approx({"api": 0.5, "machine": 2.0, "load": 0.1, "rest": 1.4})


def test_a_service_that_was_started_anew_used_no_negative_time() -> None:
    used = [Sample(BEGIN + at, cpu={"api": value}) for at, value in enumerate((5.0, 6.0, 0.5, 1.5))]
    assert cores(used)["api"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("cpu", "said"),
    [
        ({"machine": 1.95, "load": 0.6, "counter": 0.9}, "The processors: 1.9 of 2 cores"),
        ({"machine": 1.2, "load": 0.95}, "The load itself"),
        ({"machine": 1.2, "counter": 0.95, "load": 0.2}, "counter, which filled its cores"),
        ({"machine": 1.2, "ingest": 0.95, "load": 0.2}, "None of what is measured"),
    ],
)
def test_the_bottleneck_has_a_name(cpu: dict[str, float], said: str) -> None:
    assert said in bottleneck(measured(1, 1, cpu=cpu), 2, workers=2)


def test_calm_is_when_nothing_waits_and_all_answer() -> None:
    run = Run("a machine", 2, 0)
    lag = (0.2, 3.0, None, 0.2, 5.0, 0.3, 0.2, 0.1, 0.2, 7.0)
    run.samples = [Sample(BEGIN + at, oldest=oldest, read_at=BEGIN + at) for at, oldest in enumerate(lag)]
    assert calm_again(run, BEGIN) == 5  # not 3: it did not last
    assert calm_again(run, BEGIN + 9) is None
    run.samples[5].silent = ["api"]
    assert calm_again(run, BEGIN) is None


def test_what_was_read_of_redis_before_a_fault_is_no_calm_after_it() -> None:
    run = Run("a machine", 2, 0)
    run.samples = [Sample(BEGIN + at, oldest=0.2, read_at=BEGIN + min(at, 2)) for at in range(10)]
    assert calm_again(run, BEGIN + 2) == 0
    assert calm_again(run, BEGIN + 3) is None


def test_an_outage_is_from_the_first_look_without_an_answer_to_the_next_with_one() -> None:
    run = Run("a machine", 2, 0)
    silent: tuple[list[str], ...] = ([], ["api"], ["api"], [], ["counter"])
    run.samples = [Sample(BEGIN + at, silent=names) for at, names in enumerate(silent)]
    assert [(fault.at - BEGIN, fault.what) for fault in outages(run)] == [
        (4, "counter does not answer any more"),
        (1, "api does not answer"),
        (3, "api answers again, after 2 s"),
    ]


def test_ten_times_the_page_views_need_ten_times_the_cores() -> None:
    step = measured(1, 1000, cpu={"machine": 1.5, "load": 0.5, "ingest": 0.6, "rest": 0.4})
    found = needs(step, 0.0, 500e6, 1.5)
    assert found[2].cores == pytest.approx(10 * found[1].cores)
    assert found[1].peak == pytest.approx(100_000 * max(hours()) / 3600 * 3 * 1.5)
    assert found[1].disk == pytest.approx(100_000 * 365 * BYTES_PER_VIEW / 1e9)
    assert found[3].memory - 0.5 == pytest.approx(10_000_000 * max(hours()) / 2 * 3 * BYTES_PER_VISITOR / 1e9)
    half_idle = needs(step, 0.5, 500e6, 1.5)
    assert half_idle[2].cores == pytest.approx(found[2].cores / 2 + 0.5 / 0.6)


def test_percentiles_of_a_histogram() -> None:
    waits = Counter(rounded(ms) for ms in range(1, 1001))
    for percent in (50, 95, 99):
        assert percentile([waits], percent) == pytest.approx(percent * 10, rel=0.05)
    assert percentile([], 50) == 0


def test_the_hours_are_shares_of_a_day() -> None:
    assert len(hours()) == 24
    assert sum(hours()) == pytest.approx(1)
    assert max(hours()) < 3 / 24


def test_people_and_bots_of_the_log_are_told_apart() -> None:
    assert len(views(bots=True)) + len(views(bots=False)) == len(page_views())
    chance = Random(1)
    assert "Mozilla" in someone(chance).headers
    event = page_view(chance, "load-test", someone(chance), views(bots=False)[0])
    assert str(event["url"]).startswith("https://load-test.invalid/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.1:8001", "not on this machine"),
        ("http://10.0.0.1:80", "not on this machine"),
        ("http://intranet", "not on this machine"),
        ("http://no-such-host.invalid", "has no address"),
        ("https://127.0.0.1", "is no address of a service"),
        ("127.0.0.1:8001", "is no address of a service"),
    ],
)
def test_only_this_machine_or_compose_is_a_target(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = socket.getaddrinfo
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **b: private if a[0] == "intranet" else known(*a, **b))
    monkeypatch.setattr(target, "_IN_CONTAINER", tmp_path / "missing")
    with pytest.raises(TargetError, match=re.escape(said)):
        Target(url, url, url, "load-test").check()


def test_a_service_of_compose_is_a_target_within_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("172.30.80.2", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: private)
    monkeypatch.setattr(target, "_IN_CONTAINER", tmp_path)
    answers = {"metrics": b"truycap_waiting_entries 0\n", "ready": b"{}", "counts": b'{"pageviews": {"total": 1}}'}
    monkeypatch.setattr(target, "get", lambda url: answers[url.rpartition("/")[2]])
    Target("http://ingest:8001", "http://counter:8002", "http://api:8003", "load-test").check()


@pytest.mark.parametrize("metrics", [b"<html>", b"node_load1 0.2\n", b""])
def test_what_is_no_truycap_is_no_target(monkeypatch: pytest.MonkeyPatch, metrics: bytes) -> None:
    monkeypatch.setattr(target, "get", lambda _: metrics)
    with pytest.raises(TargetError, match=re.escape("What answers at http://127.0.0.1:1 is no truycap")):
        Target("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "load-test").check()


def test_a_report_tells_what_happened(tmp_path: Path) -> None:
    run = held()
    run.faults = [Fault(BEGIN + 100, "counter is killed (SIGKILL)", loss=True), Fault(BEGIN + 103, "counter is back")]
    run.expected, run.spike = True, [200.0, 1900.0]
    steps = [measured(300, 200), measured(450, 310, p95=600.0)]
    found = report.write(tmp_path, run, steps, measured(300, 200))
    told = (tmp_path / "report.html").read_text("utf-8")
    for words in ("200 events a second", "no more events", "9.5 times the events", "SIGKILL", "after 0 s"):
        assert words in told
    assert told.count("<svg") == 5
    assert "not judged" in told
    assert "before the load came. Whatever" not in told
    assert "What a given traffic takes" in told
    run.idle = 0.6
    report.write(tmp_path, run, steps, measured(300, 200))
    told = (tmp_path / "report.html").read_text("utf-8")
    assert "0.6 of 2 cores were busy before" in told
    assert "What a given traffic takes" not in told
    assert len(found) == len(json.loads((tmp_path / "report.json").read_bytes())["checks"])
