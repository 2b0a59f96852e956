"""Who is woken finds in the runbook what to type; who reads it finds no alert that there is not."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = "docs/operations.md"
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
RUNBOOK = (ROOT / PAGE).read_text("utf-8")
ENTRIES = dict(re.findall(r"^### (Truycap\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    assert sorted(ENTRIES) == sorted(names)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_and_entry_agree(alert: dict[str, Any]) -> None:
    said, entry = alert["annotations"], ENTRIES[alert["alert"]]
    assert set(said) == {"summary", "description", "runbook"}
    assert said["runbook"] == f"{PAGE}#{alert['alert'].lower()}"
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert re.match(rf"\n\*{alert['labels']['severity']}: .+\*", entry), "it begins with the severity and the symptom"
    assert re.search(r"^    \S", entry, re.MULTILINE), "a command to type"
    assert re.search(r"^Then: ", entry, re.MULTILINE), "what comes next"
