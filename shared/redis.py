"""Connections to Redis."""

from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared import log
from shared.errors import SetupError, redacted

LEAST_VERSION = (7, 0)

logger = log.get(__name__)


def client(url: str, *, timeout: float = 5.0) -> "Redis":
    """A client that never repeats a command on its own: a repeated XADD would be a second event.

    timeout: seconds for connecting and for each answer.
    """
    try:
        return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout, socket_connect_timeout=timeout)
    except ValueError as error:
        raise SetupError(f"TRUYCAP_REDIS_URL={redacted(url)}: {error}") from None


async def check_server(redis: "Redis", url: str) -> None:
    """SetupError where no Redis answers there, or one that is too old."""
    try:
        info: dict[str, Any] = await redis.info("server")
    except RedisError as error:
        where = redacted(url)
        raise SetupError(f"No Redis answers at {where} ({error}). Start one there or set TRUYCAP_REDIS_URL.") from None
    version = str(info["redis_version"])
    if parse_version(version) < LEAST_VERSION:
        raise SetupError(
            f"The Redis at {redacted(url)} is {version}; truycap needs {'.'.join(map(str, LEAST_VERSION))} or newer."
        )


async def warn_of_settings(redis: "Redis") -> None:
    """Say where this Redis keeps less than `202 Accepted` promises; some do not let themselves be asked."""
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    for name, value in wanted.items():
        try:
            found = (await redis.config_get(name)).get(name)
        except RedisError:
            return
        if found != value:
            logger.warning("Redis may lose what was accepted", setting=name, found=found, wanted=value)


def parse_version(text: str) -> tuple[int, ...]:
    """`7.0.15` -> (7, 0, 15)."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def script(package: str, name: str) -> str:
    """The text of a Lua script that lies beside a package's modules."""
    return resources.files(package).joinpath(name).read_text("utf-8")
