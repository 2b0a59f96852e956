"""Why ingest does not accept a request. Every one has its own code, which is also its metric's label."""

from shared.errors import TruycapError


class NotJSONError(TruycapError):
    code = "not_json"
    status = 400


class OriginNotAllowedError(TruycapError):
    code = "origin_not_allowed"
    status = 403


class TooLargeError(TruycapError):
    code = "too_large"
    status = 413


class InvalidError(TruycapError):
    code = "invalid"
    status = 422


class TooManyError(TruycapError):
    code = "rate_limited"
    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(TruycapError):
    """Redis did not take the event in time. It may be on the stream all the same: send it again with the same id."""

    code = "unavailable"
    status = 503
    retry_after = 2
