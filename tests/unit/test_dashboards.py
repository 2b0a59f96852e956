"""What can be seen of the dashboards without a Prometheus: what they ask for exists, and no panel covers another."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram

from shared import metrics
from tests.support.truycap import ROOT

FILES = (ROOT / "deploy/grafana/dashboards").glob("*.json")
DASHBOARDS = {file.stem: json.loads(file.read_text("utf-8")) for file in FILES}
SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}
SERIES = {
    described.name + suffix
    for metric in vars(metrics).values()
    if isinstance(metric, Counter | Gauge | Histogram)
    for described in metric.describe()
    for suffix in SUFFIXES[type(metric)]
}
ASKED = (ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8") + json.dumps(DASHBOARDS)
"""All expressions, of dashboards and alerts."""
each_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


def panels(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARDS[name]["panels"]
    return found


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@each_dashboard
def test_panels_stand_side_by_side(name: str) -> None:
    places = [panel["gridPos"] for panel in panels(name)]
    assert all(place["x"] + place["w"] <= 24 and place["w"] >= 4 for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert len({panel["id"] for panel in panels(name)}) == len(places)


@each_dashboard
def test_every_panel_says_what_it_shows(name: str) -> None:
    for panel in panels(name):
        assert panel["title"]
        if "targets" in panel:
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_what_is_asked_for_exists() -> None:
    assert {name for name in re.findall(r"\btruycap_\w+", ASKED) if name not in SERIES} == set()


def test_no_metric_goes_unseen() -> None:
    families = {re.sub(r"_(bucket|count|sum)$", "", series) for series in SERIES}
    assert {family for family in families if family not in ASKED} == set()
