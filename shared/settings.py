"""Settings of a process: environment variables with the prefix TRUYCAP_. Sites stand in truycap.toml (sites.py).

Each but TRUYCAP_CONFIG, which names a file itself, may also be given as TRUYCAP_<NAME>_FILE: the file that holds the
value, as Docker and Kubernetes hand secrets over.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SetupError, redacted
from shared.watch import WatchedSites

PREFIX = "TRUYCAP_"
_FILE = "_FILE"
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
LEAST_RETENTION_DAYS = 35
"""Longer than anything is looked up or sent again by itself."""


class Settings(BaseSettings):
    """Every field is the variable TRUYCAP_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="the Redis server: redis://, rediss:// or unix://")
    redis_password: SecretStr | None = Field(None, description="its password, as it is, instead of one in the URL")
    clickhouse_dsn: str = Field(
        "http://127.0.0.1:8123/truycap",
        description="the store: http(s)://user:password@host:port/database or chdb:///path",
    )
    clickhouse_password: SecretStr | None = Field(None, description="its password, as it is, instead of one in the DSN")
    config: Path = Field(Path("truycap.toml"), description="the file that names the sites")
    shards: int = Field(1, ge=1, le=256, description="how many shards the sites are spread over; fixed with the store")
    rate_limit: int = Field(
        600, ge=0, description="events that one address may send per minute to one ingest process; 0 for no limit"
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="the largest request body that ingest accepts")
    live_streams: int = Field(
        10_000, ge=1, description="how many live streams an api process holds open; who comes then asks now and then"
    )
    dead_letter_ceiling: int = Field(
        100, ge=0, description="how many dead letters beside good events stop the counter; 0 for no ceiling"
    )
    retention_days: int = Field(
        0, description="after how many days a month's page views leave the events: 0 for never, else at least 35"
    )
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="addresses or networks, comma-separated, whose X-Forwarded-For is believed",
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("retention_days")
    @classmethod
    def _long_enough(cls, days: int) -> int:
        if days and days < LEAST_RETENTION_DAYS:
            raise PydanticCustomError(
                "retention", f"Write 0 to keep page views for ever, or at least {LEAST_RETENTION_DAYS} days"
            )
        return days

    def sites(self) -> WatchedSites:
        """The configured sites; SetupError where the file is missing or broken."""
        return WatchedSites(self.config, self.shards)


def load_settings(**overrides: object) -> Settings:
    """The settings of the environment, `overrides` before it; SetupError names the variable that is wrong.

    A password that is given apart stands in `redis_url` and `clickhouse_dsn` afterwards.
    """
    _check_names()
    files = _from_files()
    try:
        settings = Settings(**{**files, **overrides})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        setting = str(first["loc"][0])
        # What stands in a file may be a secret, in the wrong place.
        given = f"{setting.upper()}{_FILE}" if setting in files else f"{setting.upper()}={first['input']!r}"
        raise SetupError(f"{PREFIX}{given}: {first['msg'][0].lower()}{first['msg'][1:]}.") from None
    return settings.model_copy(
        update={
            name: _with_password(PREFIX + name.upper(), getattr(settings, name), password)
            for name, password in (
                ("redis_url", settings.redis_password),
                ("clickhouse_dsn", settings.clickhouse_password),
            )
            if password is not None
        }
    )


def is_given(setting: str) -> bool:
    """Whether the environment has a setting, itself or in a file."""
    name = PREFIX + setting.upper()
    return name in os.environ or bool(_file_of(name))


def _check_names() -> None:
    """SetupError for a variable of ours that nothing reads."""
    known = [name.upper() for name in Settings.model_fields]
    allowed = {*known, *(name + _FILE for name in known if name != "CONFIG")}
    for name in os.environ:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in allowed and not _of_kubernetes(name):
            near = difflib.get_close_matches(name.removeprefix(PREFIX), known, 1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(PREFIX + k for k in known)}."
            raise SetupError(f"The environment variable {name} is unknown; {hint}")


def _of_kubernetes(name: str) -> bool:
    """Whether it tells where a service in the same namespace is, whose name begins with truycap:
    https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables.
    """
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in os.environ[name])


def _from_files() -> dict[str, object]:
    """The settings whose values stand in files; SetupError where one cannot be read or is given twice."""
    found: dict[str, object] = {}
    for setting in Settings.model_fields:
        name = PREFIX + setting.upper()
        if not (path := _file_of(name)):
            continue
        if name in os.environ:
            raise SetupError(f"{name} and {name}{_FILE} are both given; keep one.")
        try:
            value = Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SetupError(f"{name}{_FILE}={path}: the file cannot be read ({reason}).") from None
        if not value:
            raise SetupError(f"{name}{_FILE}={path}: the file is empty.")
        found[setting] = value
    return found


def _file_of(name: str) -> str | None:
    """The file that holds a variable's value, None where none is named; an empty name is none, as compose gives it."""
    return os.environ.get(name + _FILE) or None


def _with_password(name: str, address: str, password: SecretStr) -> str:
    """The address of a server, the variable `name`, with this password, whatever characters it has."""
    try:
        parts = urlsplit(address)
        known = bool(parts.hostname or parts.scheme == "unix")
    except ValueError:
        known = False
    if not known:
        raise SetupError(f"{name}={redacted(address)}: write scheme://host:port; the password is put into it.")
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{quote(password.get_secret_value(), safe='')}@{host}"
    return parts._replace(netloc=netloc).geturl()
