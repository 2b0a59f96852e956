"""The one shape of errors."""

import json
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from services.ingest.errors import TooManyError
from shared.clickhouse import ClickHouse, translate
from shared.errors import MethodNotAllowedError, SetupError, StoreError, TruycapError, UnknownSiteError


def every_error(error: type[TruycapError] = TruycapError) -> list[type[TruycapError]]:
    return [error, *(each for below in error.__subclasses__() for each in every_error(below))]


def test_the_body_is_the_code_and_the_message() -> None:
    error = UnknownSiteError('a"é')
    assert json.loads(error.body()) == {"error": {"code": "unknown_site", "message": error.message}}
    assert (error.status, dict(error.headers)) == (404, {})
    assert "'a\"é'" in error.message


def test_the_message_shows_a_site_id_of_any_length_in_short() -> None:
    assert len(UnknownSiteError("x" * 10_000).message) < 200


def test_retry_after_is_a_header_where_trying_again_may_help() -> None:
    assert StoreError("away").headers == {"retry-after": "5"}
    assert TooManyError("slower", 17).headers == {"retry-after": "17"}
    assert {error.retry_after is not None for error in every_error() if error.status == 503} == {True}


def test_a_405_names_what_is_allowed() -> None:
    assert MethodNotAllowedError("no", "GET").headers == {"allow": "GET"}


def test_every_code_means_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for error in every_error():
        statuses.setdefault(error.code, set()).add(error.status)
    assert {code for code, found in statuses.items() if len(found) > 1} == set()


def test_who_must_change_something_first_gets_exit_code_2() -> None:
    assert (SetupError("port").exit_code, StoreError("away").exit_code) == (2, 2)


@pytest.mark.parametrize(
    "code",
    [75, 159, 164, 202, 209, 210, 241, 242, 243, 252, 999],
    ids=lambda code: f"code {code}",
)
def test_a_store_that_is_full_or_busy_or_read_only_or_away_is_tried_again(code: int) -> None:
    assert translate(DatabaseError(f"Code: {code}. DB::Exception: no", code=code)).retry


def test_a_store_that_does_not_answer_is_tried_again() -> None:
    assert translate(OperationalError("Error HTTPConnectionPool: Read timed out.")).retry


@pytest.mark.parametrize("code", [60, 81, 192, 193, 497, 516], ids=lambda code: f"code {code}")
def test_what_a_person_must_set_right_is_not_tried_again(code: int) -> None:
    assert not translate(DatabaseError(f"Code: {code}. DB::Exception: no", code=code)).retry


@pytest.mark.parametrize("code", [33, 246], ids=lambda code: f"code {code}")
def test_what_cannot_be_read_any_more_is_not_tried_again_and_says_to_start_clickhouse(code: int) -> None:
    error = translate(DatabaseError(f"Code: {code}. DB::Exception: Empty marks file", code=code))
    assert not error.retry
    assert "start ClickHouse (with chDB: truycap) again within a minute" in error.message


async def test_a_program_without_chdb_says_so_in_one_line(tmp_path: Path) -> None:
    def get_client(**_: object) -> None:  # as the driver does
        raise ImportError("The chdb backend requires the chdb package.")

    with pytest.MonkeyPatch.context() as patch:  # undone before what forbids stores to unit tests is
        patch.setattr(clickhouse_connect, "get_client", get_client)
        with pytest.raises(SetupError, match="chDB is not installed here"):
            await ClickHouse.connect(f"chdb://{tmp_path}")
