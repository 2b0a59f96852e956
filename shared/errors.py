"""Errors that reach a person: one base class, one JSON shape.

Whoever raises one of these says in one line what is wrong and what to do about it. The HTTP edges answer it as
`{"error": {"code", "message"}}`, the command line prints the message and exits with `exit_code`.
"""

import re
from collections.abc import Mapping

import msgspec


class TruycapError(Exception):
    """The base of all errors that are told to a user.

    code: a stable name for programs; status: the HTTP status; exit_code: the command's; retry_after: seconds after
    which the same request may succeed, or None.
    """

    code = "internal_error"
    status = 500
    exit_code = 1
    retry_after: int | None = None
    public_message: str | None = None
    """What visitors are told instead, where the message is for the operator."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}

    def body(self) -> bytes:
        """The JSON body of the answer."""
        return error_body(self.code, self.public_message or self.message)


def error_body(code: str, message: str) -> bytes:
    """The JSON of an error: `{"error": {"code", "message"}}`."""
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def redacted(url: str) -> str:
    """A server's URL without its password, for messages and logs."""
    return re.sub(r"(?<=://)([^/@]*?):[^@]*@", r"\1:***@", url)


_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NAME = re.compile(r"[A-Za-z_][\w.]*")


def without_data(message: str) -> str:
    """A library's message in one line, without what it quotes but names: of tables, columns, settings.

    Libraries quote what they choke on, and that may be a visitor's address, a path, an id.
    """
    line = " ".join(message.split())
    return _QUOTED.sub(lambda found: found[0] if _NAME.fullmatch(found[1] or found[2] or "") else "'…'", line)


def described(error: BaseException) -> str:
    """An error in one line for the log: its type, and what it says, without data."""
    said = without_data(str(error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class SetupError(TruycapError):
    """Something that the person who starts truycap must change first: a setting, a port, a folder, a server."""

    code = "setup"
    exit_code = 2


class SaidError(Exception):
    """A command ends with this exit code; why has been said already."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class StoreError(TruycapError):
    """ClickHouse did not do what was asked.

    retry: True where the same statement may succeed later (an outage, too little memory, too many parts), False where
    it never will (a table or column that does not exist, a syntax error).
    """

    code = "store_unavailable"
    status = 503
    exit_code = 2
    retry_after = 5
    public_message = "The history cannot be read now; try again later. The counts do not depend on it."

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class UnknownSiteError(TruycapError):
    """No site of that id is configured."""

    code = "unknown_site"
    status = 404
    exit_code = 2

    def __init__(self, site: str) -> None:
        super().__init__(f"There is no site {site[:64]!r} here; the site's id is in truycap.toml under [[site]].")


class MethodNotAllowedError(TruycapError):
    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {"allow": self.allowed}
