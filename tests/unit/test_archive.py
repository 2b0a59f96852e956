"""Where a backup lies, as ClickHouse is told."""

from pathlib import Path

import pytest

from services.counter.archive import engine


@pytest.mark.parametrize("place", ["S3(backups, 'monday')", "Disk('backups', 'monday')", "File('/x/monday.zip')"])
def test_an_expression_is_clickhouses_own(place: str) -> None:
    assert engine(place, own_files=True) == engine(place, own_files=False) == place


def test_a_path_is_one_of_the_machine_that_clickhouse_runs_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert engine("monday", own_files=True) == f"File('{tmp_path}/monday')"
    assert engine("monday", own_files=False) == "File('monday')"
    assert engine("/backups/monday", own_files=False) == "File('/backups/monday')"


def test_no_path_ends_its_own_quotes() -> None:
    assert engine("/it's/a\\b (1)", own_files=False) == r"File('/it\'s/a\\b (1)')"
