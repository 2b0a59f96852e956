"""Where a backup lies, as ClickHouse is told."""

from pathlib import Path
from typing import cast

import pytest

from services.counter.archive import Archive, engine
from shared.clickhouse import Statements
from shared.errors import SetupError


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


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "no place for a backup"),
        ("  ", "no place for a backup"),
        ("chdb/backup", "no place for a backup"),
        ("monday.zip", "as a folder"),
        ("full", "holds something already"),
        ("older", "A backup lies at"),
    ],
)
def test_a_place_that_would_not_do_is_refused(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / ".backup").touch()
    where = place and place.strip() and str(tmp_path / place)
    archive = Archive(cast(Statements, None), where, lambda *_: None, own_files=True)
    modes = {path: path.stat().st_mode for path in tmp_path.iterdir()}
    with pytest.raises(SetupError, match=said):
        archive.prepare(tmp_path / "chdb")
    assert {path: path.stat().st_mode for path in tmp_path.iterdir()} == modes


@pytest.mark.parametrize("there", [False, True])
def test_a_new_place_is_for_its_owner_alone(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "b").mkdir(0o755)
    Archive(cast(Statements, None), str(tmp_path / "b"), lambda *_: None, own_files=True).prepare(tmp_path / "chdb")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
