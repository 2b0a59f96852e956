"""The one shape of errors."""

import json

from services.ingest.errors import TooManyError
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
