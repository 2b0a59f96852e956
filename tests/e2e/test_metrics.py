"""What /metrics says, of services as processes of their own, ingest with two workers."""

import os
import signal
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.support.services import Services, running, until_total

VISITS = 40
EVENTS = "/v1/events"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("metrics")) as services:
        for number in range(VISITS):
            services.view("hanoi", f"v{number}")  # a connection each, so both workers have some
        with suppress(urllib.error.HTTPError):
            services.view("nobody", "v0")
        until_total(services, "hanoi", VISITS)
        yield services


def until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


def total(services: Services, service: str, metric: str, *labels: str) -> float:
    """The sum of a metric over all labels' values that hold the given ones."""
    found = services.metrics(service)
    return sum(value for (name, *values), value in found.items() if name == metric and set(labels) <= set(values))


def test_whichever_worker_is_asked_answers_for_all(services: Services) -> None:
    def said() -> float:
        return total(services, "ingest", "truycap_http_request_seconds_count", EVENTS)

    until(lambda: said() == VISITS + 1, "each worker has said what it answered, as it does every second")
    for _ in range(6):
        assert total(services, "ingest", "truycap_events_accepted_total") == VISITS
        assert total(services, "ingest", "truycap_http_requests_total", EVENTS, "202") == VISITS
        assert total(services, "ingest", "truycap_http_request_seconds_count", EVENTS) == VISITS + 1
        assert total(services, "ingest", "truycap_requests_refused_total", "unknown_site") == 1
        assert total(services, "ingest", "truycap_build_info") == 1
        # Two processes of Python with what they import.
        assert total(services, "ingest", "process_resident_memory_bytes") > 2 * 30e6


def test_the_delivery_identity_is_reckoned_up(services: Services) -> None:
    def balanced() -> bool:
        return (
            total(services, "api", "truycap_delivery_events", "accepted") == VISITS
            and total(services, "api", "truycap_delivery_events", "counted") == VISITS
        )

    until(balanced, "the api has read the delivery hash")
    found = services.metrics("api")
    assert [found["truycap_delivery_difference_events", shard] for shard in "01"] == [0, 0]
    assert all(found["truycap_delivery_checked_timestamp_seconds", shard] > time.time() - 15 for shard in "01")
    assert found["truycap_redis_memory_bytes", "used"] > 0
    assert total(services, "api", "truycap_waiting_entries") == 0


def test_the_counters_time_their_steps_and_know_the_room(services: Services) -> None:
    counters = ("counter", "counter2")

    def together(metric: str) -> float:
        return sum(total(services, name, metric) for name in counters)

    assert together("truycap_events_counted_total") == VISITS
    for step in ("batch_insert", "batch_apply", "event_visible"):
        assert together(f"truycap_{step}_seconds_count") >= 1, step
    assert together("truycap_batch_events_sum") == VISITS
    until(lambda: total(services, "counter", "truycap_store_rows", "events") == VISITS, "the rows of `events`")
    free, size = (total(services, "counter", "truycap_store_disk_bytes", kind) for kind in ("free", "total"))
    assert 0 < free <= size


def test_a_worker_that_died_is_forgotten_and_what_it_counted_is_not(services: Services) -> None:
    started = total(services, "ingest", "process_start_time_seconds")
    cpu = total(services, "ingest", "process_cpu_seconds_total")
    pid = services.workers("ingest")[0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in services.workers("ingest") and len(services.workers("ingest")) == 2, "another worker")
    until(lambda: total(services, "ingest", "process_start_time_seconds") > started, "the new worker's start")
    assert total(services, "ingest", "truycap_events_accepted_total") == VISITS
    assert total(services, "ingest", "process_cpu_seconds_total") >= cpu > 0


def test_nothing_that_a_visitor_sends_becomes_a_label(services: Services) -> None:
    before = {name: len(services.metrics(name)) for name in ("ingest", "api")}
    for number in range(20):
        for service in before:
            with suppress(urllib.error.HTTPError):
                services.get(service, f"/v1/sites/made-up-{number}/counts")
            with suppress(urllib.error.HTTPError):
                services.get(service, f"/made/up/{number}")
    for name, count in before.items():
        found = services.metrics(name)
        assert not [labels for labels in found if any("made" in label for label in labels)]
        assert len(found) < count + 60, "a few routes and statuses, not one for each request"
