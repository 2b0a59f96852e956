"""What /metrics answers: the metrics of this process, or of all workers that share its port, added up.

Workers write their metrics into files of a folder that the process which started them made
(https://prometheus.github.io/client_python/multiprocess/); whichever of them is asked answers for all.
"""

import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import REGISTRY, Collector

from shared import metrics

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that must name the folder before prometheus_client is first imported."""
CONTENT_TYPE = CONTENT_TYPE_LATEST
_ENDED_CPU = "cpu_seconds_of_ended_workers"


def page() -> bytes:
    """All metrics in Prometheus's text format."""
    metrics.settle_requests()
    folder = os.environ.get(FOLDER)
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    registry.register(_Workers(Path(folder)))
    return generate_latest(registry)


def forget(pid: int, folder: str) -> None:
    """A worker of this process has ended: what it had is no longer so; what it counted, and its CPU time, stays."""
    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    (Path(folder) / _ENDED_CPU).write_text(str(ended.ru_utime + ended.ru_stime), "utf-8")


class _Workers(Collector):
    """Memory, CPU (also of those that have ended) and open files of all workers together; the latest start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        together: dict[str, Metric] = {}
        for pid in self._pids():
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                found = together.setdefault(metric.name, metric)
                if found is not metric:
                    pick = max if metric.name == "process_start_time_seconds" else _plus
                    found.samples = [
                        mine._replace(value=pick(mine.value, other.value))
                        for mine, other in zip(found.samples, metric.samples, strict=True)
                    ]
        if cpu := together.get("process_cpu_seconds"):
            cpu.samples = [sample._replace(value=sample.value + self._ended_cpu()) for sample in cpu.samples]
        return together.values()

    def _ended_cpu(self) -> float:
        ended = self._folder / _ENDED_CPU
        return float(ended.read_text("utf-8") or 0) if ended.exists() else 0.0

    def _pids(self) -> Iterator[str]:
        for file in self._folder.glob("gauge_livemax_*.db"):  # every worker has one: truycap_build_info
            yield file.stem.rpartition("_")[2]


def _plus(one: float, other: float) -> float:
    return one + other
