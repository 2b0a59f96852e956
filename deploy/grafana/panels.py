"""Panels and dashboards of Grafana as JSON. Their types, for the pinned version, stand in dashboard.ts."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

Json = dict[str, Any]
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS = 24
_HEIGHTS = {"stat": 3, "timeseries": 8, "text": 9}
_IDLE = {"type": "special", "options": {"match": "null+nan", "result": {"text": "idle", "color": "blue", "index": 0}}}
"""A quantile of nothing is NaN: nobody came."""


def rising(red: float, yellow: float | None = None) -> Json:
    """Good is little: the values from which on it is not."""
    between = [] if yellow is None else [{"value": yellow, "color": "yellow"}]
    return _steps([{"value": None, "color": "green"}, *between, {"value": red, "color": "red"}])


def falling(red: float, yellow: float) -> Json:
    """Good is much: the values below which it is not."""
    return _steps(
        [{"value": None, "color": "red"}, {"value": red, "color": "yellow"}, {"value": yellow, "color": "green"}]
    )


NEUTRAL: Json = {"mode": "absolute", "steps": [{"value": None, "color": "blue"}]}
"""Neither good nor bad."""


def _steps(steps: list[Json]) -> Json:
    return {"mode": "absolute", "steps": steps}


def stat(title: str, what: str, targets: Mapping[str, str] | str, unit: str = "short", good: Json = NEUTRAL) -> Json:
    """The number now. targets: expressions by their legend, or one alone; what: the tooltip; good: the colours."""
    return _panel(
        "stat",
        title,
        what,
        _targets({"": targets} if isinstance(targets, str) else targets, instant=True),
        defaults={
            "unit": unit,
            "decimals": 0 if unit == "short" else 1,
            "thresholds": good,
            "mappings": [_IDLE],
        },
        options={
            "reduceOptions": {"values": False, "calcs": ["last"], "fields": ""},
            "orientation": "auto",
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    )


def graph(
    title: str,
    what: str,
    targets: Mapping[str, str],
    unit: str = "short",
    good: Json = NEUTRAL,
    *,
    stacked: bool = False,
) -> Json:
    """The course of time. targets: expressions by their legend, in which {{label}} stands for a label's value."""
    return _panel(
        "timeseries",
        title,
        what,
        _targets(targets, instant=False),
        defaults={
            "unit": unit,
            "min": 0,
            "thresholds": good,
            "custom": {
                "lineWidth": 1,
                "fillOpacity": 20 if stacked else 5,
                "showPoints": "never",
                "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "off" if good is NEUTRAL else "line"},
            },
        },
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def _panel(kind: str, title: str, what: str, targets: list[Json], *, defaults: Json, options: Json) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": what,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def text(title: str, markdown: str) -> Json:
    return {"type": "text", "title": title, "options": {"mode": "markdown", "content": markdown}}


def _targets(expressions: Mapping[str, str], *, instant: bool) -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend or "__auto",
            "instant": instant,
            "range": not instant,
        }
        for number, (legend, expression) in enumerate(expressions.items())
    ]


def dashboard(name: str, title: str, sections: Mapping[str, Iterable[list[Json]]]) -> Json:
    """sections: rows of panels under their headings; the panels of a row share its width."""
    return {
        "uid": f"truycap-{name}",
        "title": f"truycap: {title}",
        "tags": ["truycap"],
        "schemaVersion": 42,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "truycap",
                "tags": ["truycap"],
                "asDropdown": False,
                "icon": "",
                "includeVars": False,
                "keepTime": True,
                "targetBlank": False,
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": _laid_out(sections),
    }


def _laid_out(sections: Mapping[str, Iterable[list[Json]]]) -> list[Json]:
    placed: list[Json] = []
    top = 0

    def place(panel: Json, x: int, width: int, height: int) -> None:
        where = {"x": x, "y": top, "w": width, "h": height}
        placed.append({"id": len(placed) + 1, "gridPos": where, **panel})

    for heading, rows in sections.items():
        place({"type": "row", "title": heading, "collapsed": False, "panels": []}, 0, _COLUMNS, 1)
        top += 1
        for row in rows:
            height = max(_HEIGHTS[panel["type"]] for panel in row)
            edges = [number * _COLUMNS // len(row) for number in range(len(row) + 1)]
            for panel, (left, right) in zip(row, pairwise(edges), strict=True):
                place(panel, left, right - left, height)
            top += height
    return placed
