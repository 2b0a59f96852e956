"""truycap.toml while truycap runs: a change is taken within two seconds, a broken file leaves the sites before it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from shared import log, metrics
from shared.errors import SetupError
from shared.sites import Site, Sites, load_sites

LOOK_SECONDS = 1.0
SETTLED_SECONDS = 0.2
"""A file that stays the same for so long is whole: an editor may empty it first, and an empty file is a good one."""
SETTLING_ROUNDS = 3
"""So often a look waits for that at most: the counting of a batch may wait for the look."""

_Stamp = tuple[int, ...] | None

logger = log.get(__name__)


class WatchedSites(Sites):
    """The sites that a file names now. SetupError where it is broken at the start.

    beside: sites that are there too, unless the file names them; optional: the file may be missing, at first.
    """

    def __init__(self, path: Path, shards: int, *, beside: Sequence[Site] = (), optional: bool = False) -> None:
        self._path = path
        self._beside = beside
        self._looking = asyncio.Lock()
        self._wrong = ""
        """What is wrong with the file, empty where nothing is."""
        self._seen = _stamp(path)
        configured = [] if optional and self._seen is None else load_sites(path)
        self._removed: dict[str, Site] = {}
        super().__init__([*beside, *configured], shards)

    def once_known(self, site_id: str) -> Site | None:
        return self.get(site_id) or self._removed.get(site_id)

    async def watch(self) -> None:
        """Look at the file for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take what the file names, where it has changed. What goes on changing is left for the next look."""
        async with self._looking:  # the counting of a shard looks too
            found = _stamp(self._path)
            if found == self._seen and not self._wrong:
                return
            for _ in range(SETTLING_ROUNDS):
                if found == self._seen:
                    break
                self._seen = found
                await asyncio.sleep(SETTLED_SECONDS)
                found = _stamp(self._path)
            if found != self._seen:
                return
            try:
                self._take([*self._beside, *load_sites(self._path)])
            except SetupError as error:
                self._keep(error.message)

    def _take(self, sites: Sequence[Site]) -> None:
        before, self._sites = self._sites, {site.id: site for site in sites}
        self._removed |= before
        if self._wrong or self._sites != before:
            logger.info(
                "the sites were read again",
                added=[site for site in self if site not in before],
                changed=[site for site in self if site in before and self[site] != before[site]],
                removed=[site for site in before if site not in self],
            )
        self._wrong = ""
        metrics.SITES_BROKEN.set(0)

    def _keep(self, wrong: str) -> None:
        if wrong != self._wrong:
            logger.error("the sites cannot be read again; those before stay", error=wrong)
        self._wrong = wrong
        metrics.SITES_BROKEN.set(1)


def _stamp(path: Path) -> _Stamp:
    """What changes with the file, None where there is none. The time of its i-node changes with its mode too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
