"""How the services are, every second, by their own metrics and by the machine's."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import gevent
import msgspec
import psutil

from tests.load.record import Sample
from tests.load.target import Target, TargetError

_LONGEST_SECONDS = 60.0
_STALE_SECONDS = 3.0
"""The api reads Redis each second; what it says longer after that is how things were."""


class Looker:
    """Looks once a second, until `stop`, from a process of its own: this one may be too busy to look at a clock."""

    def __init__(self, target: Target, users: Callable[[], int]) -> None:
        self.samples: list[Sample] = []
        self._users = users
        command = [sys.executable, "-m", "tests.load.samples", str(os.getpid()), *target]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self._reading = gevent.spawn(self._read)

    def next(self) -> Sample:
        """A sample of what Redis held after now. TargetError where there is none in time."""
        now = time.time()
        while time.time() < now + _LONGEST_SECONDS:
            if self._process.poll() is not None:
                raise TargetError(f"The process that looks at the services ended with {self._process.returncode}.")
            if self.samples and self.samples[-1].read_at > now:
                return self.samples[-1]
            gevent.sleep(0.05)
        raise TargetError("The api does not say how Redis is: it, or Redis, does not answer.")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reading.kill()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            sample = msgspec.json.decode(line, type=Sample)
            sample.users = self._users()
            self.samples.append(sample)


def look(target: Target, load: psutil.Process) -> Sample:
    """A sample of now. load: the process that makes it."""
    sample, counted = Sample(time.time()), set[str]()
    with ThreadPoolExecutor(len(target.services())) as threads:
        answers = {name: threads.submit(_answer, target, name) for name in target.services()}
    for name, answer in answers.items():
        if (found := answer.result()) is None:
            sample.silent.append(name)
            continue
        if (url := target.services()[name]) not in counted:  # `truycap up` is all three in one process
            counted.add(url)
            sample.cpu[name] = sum(found.get("process_cpu_seconds_total", {}).values())
            sample.memory[name] = sum(found.get("process_resident_memory_bytes", {}).values())
        if name == "api":
            _of_redis(sample, found)
    own, machine = load.cpu_times(), psutil.cpu_times()
    sample.cpu["load"] = own.user + own.system
    sample.cpu["machine"] = sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice
    return sample


def main(load: str, *target: str) -> None:
    """Print a sample every second for as long as the process `load` is there to read them."""
    process = psutil.Process(int(load))
    while process.is_running():
        sample = look(Target(*target), process)
        print(msgspec.json.encode(sample).decode(), flush=True)
        time.sleep(max(0.1, sample.at + 1 - time.time()))


def _answer(target: Target, name: str) -> Mapping[str, Any] | None:
    try:
        return target.measured(name)
    except (OSError, ValueError):
        return None


def _of_redis(sample: Sample, found: Mapping[str, Any]) -> None:
    sample.memory["redis"] = sum(
        value for labels, value in found.get("truycap_redis_memory_bytes", {}).items() if ("kind", "used") in labels
    )
    sample.read_at = min(found.get("truycap_delivery_checked_timestamp_seconds", {}).values(), default=0.0)
    if sample.at - sample.read_at <= _STALE_SECONDS:
        sample.waiting = sum(found.get("truycap_waiting_entries", {}).values())
        sample.oldest = max(found.get("truycap_oldest_waiting_seconds", {}).values(), default=0.0)
    sample.difference = sum(map(abs, found.get("truycap_delivery_difference_events", {}).values()))
    for labels, value in found.get("truycap_delivery_events", {}).items():
        state = dict(labels)["state"]
        sample.delivery[state] = sample.delivery.get(state, 0.0) + value


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt, psutil.NoSuchProcess):
        main(*sys.argv[1:])
