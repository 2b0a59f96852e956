"""The alert rules, by Prometheus's own tool: that they are rules, and that each fires where it must and only there."""

import re
import subprocess

from tests.support.prometheus import tool
from tests.support.truycap import ROOT

FOLDER = ROOT / "deploy/prometheus"


def promtool(*arguments: str) -> str:
    done = subprocess.run([tool("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_in_its_scenario_and_none_beside_it() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_there_is_a_scenario_for_each_alert() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text("utf-8")))
    tried = set(re.findall(r'alertname="(\w+)"', (FOLDER / "alerts_test.yml").read_text("utf-8")))
    assert alerts == tried
