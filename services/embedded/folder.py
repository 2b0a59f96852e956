"""The data folder of `truycap up`: who has it, and where the stores lie in it."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path

from shared.errors import SetupError

_LONGEST_SOCKET = 100
"""A Unix socket's path may have 107 bytes on Linux and 103 on macOS."""


class Folder:
    """A data folder. All of it belongs to its owner alone (mode 700)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.redis = self.path / "redis"
        self.clickhouse = self.path / "clickhouse"
        self._sockets = self.path / "run"
        if len(os.fsencode(self._sockets / "redis.sock")) > _LONGEST_SOCKET:
            name = blake2b(os.fsencode(self.path), digest_size=8).hexdigest()
            self._sockets = Path(tempfile.gettempdir()) / f"truycap-{os.getuid()}-{name}"

    @property
    def redis_socket(self) -> Path:
        return self._sockets / "redis.sock"

    @property
    def store_socket(self) -> Path:
        return self._sockets / "store.sock"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.redis_socket}"

    @property
    def clickhouse_dsn(self) -> str:
        return f"chdb://{self.clickhouse}"

    def create(self) -> None:
        """Make what is missing; SetupError where that is not allowed."""
        try:
            for folder in (self.path, self.redis, self.clickhouse, self._sockets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._sockets.stat().st_uid != os.getuid():
                raise SetupError(f"{self._sockets} belongs to somebody else. Choose a folder with a shorter path.")
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have the folder alone; SetupError where another process has it. The lock ends with the process."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context((self.path / "lock").open("ab", buffering=0))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)
                file.write(b"process %d" % os.getpid())
            except BlockingIOError:
                holder = (self.path / "lock").read_text("utf-8").strip() or "another process"
                raise SetupError(
                    f"The data folder {self.path} is in use by {holder}. Stop that, or choose another with --data."
                ) from None
            except OSError as error:
                raise self._unusable(error) from None
            yield

    def _unusable(self, error: OSError) -> SetupError:
        return SetupError(f"The data folder {self.path} cannot be used ({error.strerror}). Choose another with --data.")

    def in_use(self) -> bool:
        """Whether a process has the folder now."""
        try:
            with (self.path / "lock").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False
