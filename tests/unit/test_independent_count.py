"""The import against a count that shares no code with it, day by day, people and bots apart."""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from crawleruseragents import is_crawler

from services.importer.access_log import events, parse_line, read_lines, salt_of, why_dropped
from shared.events import StreamEvent
from shared.sites import Site
from tests.support import independent_count

SAMPLE = Path(__file__).parents[1] / "data/access_log_sample.gz"
REAL = Path(__file__).parents[3] / "shared/data/apache_logs.gz"
SITE = Site(id="portal", hostnames=["*"])
ZONES = ["UTC", "Asia/Ho_Chi_Minh"]

logs = pytest.mark.parametrize(
    "log",
    [
        pytest.param(SAMPLE, id="sample"),
        pytest.param(REAL, id="real", marks=pytest.mark.skipif(not REAL.exists(), reason="the real log is not here")),
    ],
)


def imported(log: Path, zone: str) -> dict[str, tuple[int, int]]:
    found: Counter[tuple[date, bool]] = Counter()
    for event in events(read_lines(log), SITE, salt_of(log)):
        if isinstance(event, StreamEvent):
            day = datetime.fromtimestamp(event.time / 1000, UTC).astimezone(ZoneInfo(zone)).date()
            found[day, not event.agent or is_crawler(event.agent)] += 1
    return {day.isoformat(): (found[day, False], found[day, True]) for day in sorted({day for day, _ in found})}


@logs
@pytest.mark.parametrize("zone", ZONES)
def test_both_count_the_same_by_day(log: Path, zone: str) -> None:
    assert imported(log, zone) == independent_count.count(log, zone)


@logs
def test_both_count_the_same_lines(log: Path) -> None:
    ours = [line for line in read_lines(log) if (request := parse_line(line)) and not why_dropped(request)]
    assert ours == [line for line, _, _ in independent_count.pages(log)]


def test_the_sample_counted_by_hand() -> None:
    assert independent_count.count(SAMPLE) == {"2024-03-13": (2, 0), "2024-03-14": (17, 6), "2024-03-15": (2, 1)}
    assert independent_count.count(SAMPLE, ZONES[1]) == {"2024-03-14": (16, 5), "2024-03-15": (5, 2)}
