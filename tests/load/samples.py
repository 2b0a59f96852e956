"""How the services are, every second, by their own metrics and by the machine's."""

import time
from collections.abc import Mapping
from typing import Any

import gevent
import psutil
from msgspec import Struct

from tests.load.target import Target

_LONGEST_SECONDS = 5.0
STATES = ("accepted", "counted", "rejected", "dead_lettered", "waiting")


class Sample(Struct):
    """A look at everything. at: Unix time; cpu: seconds of processor time so far; memory: bytes; by service, `load` is
    this program, `machine` all that the machine's processors did; silent: services that did not answer.

    waiting: entries on the stream; oldest: seconds that the oldest of them has waited; delivery: events by state, as
    Redis has them; difference: what the delivery identity is off by.
    """

    at: float
    users: int
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    silent: list[str] = []
    waiting: float = 0.0
    oldest: float = 0.0
    streams: float = 0.0
    delivery: dict[str, float] = {}
    difference: float = 0.0


class Looker:
    """Looks once a second, until `stop`."""

    def __init__(self, target: Target, runner: Any) -> None:
        self.samples: list[Sample] = []
        self._target = target
        self._runner = runner
        self._own = psutil.Process()
        self._looking = gevent.spawn(self._look)

    def stop(self) -> None:
        self._looking.kill()

    def look(self) -> Sample:
        """A sample of now."""
        sample = Sample(time.time(), self._runner.user_count)
        asked = {name: gevent.spawn(_answer, self._target, name) for name in self._target.services()}
        gevent.joinall(list(asked.values()), timeout=_LONGEST_SECONDS)
        for name, question in asked.items():
            if (found := question.value) is None:
                sample.silent.append(name)
                question.kill(block=False)
                continue
            sample.cpu[name] = sum(found.get("process_cpu_seconds_total", {}).values())
            sample.memory[name] = sum(found.get("process_resident_memory_bytes", {}).values())
            if name == "api":
                _of_redis(sample, found)
        own = self._own.cpu_times()
        sample.cpu["load"] = own.user + own.system
        machine = psutil.cpu_times()
        sample.cpu["machine"] = sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice
        return sample

    def _look(self) -> None:
        while True:
            self.samples.append(self.look())
            gevent.sleep(max(0.1, self.samples[-1].at + 1 - time.time()))


def _answer(target: Target, name: str) -> Mapping[str, Any] | None:
    try:
        return target.measured(name)
    except (OSError, ValueError):
        return None


def _of_redis(sample: Sample, found: Mapping[str, Any]) -> None:
    sample.memory["redis"] = found.get("truycap_redis_memory_bytes", {}).get(("used",), 0.0)
    sample.waiting = sum(found.get("truycap_waiting_entries", {}).values())
    sample.oldest = max(found.get("truycap_oldest_waiting_seconds", {}).values(), default=0.0)
    sample.streams = sum(found.get("truycap_live_clients", {}).values())
    sample.difference = sum(map(abs, found.get("truycap_delivery_difference_events", {}).values()))
    for labels, value in found.get("truycap_delivery_events", {}).items():
        state = next(label for label in labels if label in STATES)
        sample.delivery[state] = sample.delivery.get(state, 0.0) + value
