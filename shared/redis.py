"""Connections to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from shared import log
from shared.errors import SetupError, redacted

LEAST_VERSION = (7, 0)
_CONNECTIONS = 32
"""Who needs one more waits for one to be free."""

PLAIN: dict[str, Any] = {
    "retry": Retry(NoBackoff(), 0),
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}
"""Options of every connection. It never repeats a command on its own: a repeated XADD would be a second event, and a
repeated read would make more pending than was given.

The notifications of Redis Enterprise, on by default ("auto"), would also switch off that redis-py looks whether an idle
connection has been closed meanwhile (ConnectionPool.ensure_connection): after a restart of Redis the first command on
each would fail.
"""

OUTAGES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
)
"""The errors that are no fault of what was asked."""

logger = log.get(__name__)


def client(url: str, *, timeout: float = 5.0) -> "Redis":
    """A client with PLAIN connections.

    timeout: seconds for connecting and for each answer.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            **PLAIN,
        )
        return Redis.from_pool(pool)
    except ValueError as error:
        raise SetupError(f"TRUYCAP_REDIS_URL={redacted(url)}: {error}") from None


async def check_server(redis: "Redis", url: str) -> None:
    """SetupError where no Redis answers there, or one that is too old."""
    with must_answer(url):
        info: dict[str, Any] = await redis.info("server")
    version = str(info["redis_version"])
    if parse_version(version) < LEAST_VERSION:
        raise SetupError(
            f"The Redis at {redacted(url)} is {version}; truycap needs {'.'.join(map(str, LEAST_VERSION))} or newer."
        )


@contextmanager
def must_answer(url: str) -> Iterator[None]:
    """SetupError where Redis does not answer what is asked meanwhile, as a service starts."""
    try:
        yield
    except RedisError as error:
        raise SetupError(
            f"No Redis answers at {redacted(url)} ({error}). Start one there or set TRUYCAP_REDIS_URL."
        ) from None


async def check_durability(redis: "Redis", url: str) -> None:
    """SetupError where this Redis may lose what was answered 202; one that does not let itself be asked is believed."""
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        found = {name: (await redis.config_get(name)).get(name) for name in wanted}
    except RedisError:
        logger.warning("Redis does not tell its settings; it must have these", **wanted)
        return
    if wrong := [f"{name} {wanted[name]} (it is {value})" for name, value in found.items() if value != wanted[name]]:
        raise SetupError(f"The Redis at {redacted(url)} may lose what was accepted. Set {', '.join(wrong)}.")


def parse_version(text: str) -> tuple[int, ...]:
    """`7.0.15` -> (7, 0, 15)."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def script(package: str, name: str) -> str:
    """The text of a Lua script that lies beside a package's modules."""
    return resources.files(package).joinpath(name).read_text("utf-8")
