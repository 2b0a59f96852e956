"""The sites that may count, as truycap.toml names them."""

import difflib
import re
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from shared.errors import SetupError, UnknownSiteError

Language = Literal["vi", "en"]
Balance = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
SITE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a portal's earlier counter had counted up to and including `as_of`; added to the totals."""

    visits: Balance = 0
    pageviews: Balance = 0
    as_of: date | None = None


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One portal. hostnames: whose pages may count, `*` for any; public: anyone may read the counts."""

    id: str
    hostnames: list[str]
    timezone: str = "Asia/Ho_Chi_Minh"
    language: Language = "vi"
    public: bool = True
    opening: Opening = Opening()

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.hostnames)

    def owns(self, host: str) -> bool:
        """Whether this host is one of the site's by name."""
        return host in self._hosts

    def allows(self, host: str) -> bool:
        """Whether pages of this host (a name in lower case, without port) may count."""
        return host in self._hosts or "*" in self._hosts


class Sites(Mapping[str, Site]):
    """All sites by id; `find` is the look-up that answers a user.

    Those of a file can change while truycap runs (watch.py): who uses them keeps this object, and no site for long.
    """

    def __init__(self, sites: Iterable[Site], shards: int) -> None:
        self._sites = {site.id: site for site in sites}
        self._shards = shards

    def __getitem__(self, site_id: str) -> Site:
        return self._sites[site_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)

    def find(self, site_id: str) -> Site:
        """The site, or UnknownSiteError."""
        site = self._sites.get(site_id)
        if site is None:
            raise UnknownSiteError(site_id)
        return site

    def once_known(self, site_id: str) -> Site | None:
        """The site, also one that has been taken out: what was accepted for it before is still counted.

        Known while this process runs: a restart of the counter turns such events, where they still wait, into dead
        letters.
        """
        return self.get(site_id)

    def shard(self, site_id: str) -> int:
        """The shard of a site."""
        return shard_of(site_id, self._shards)

    async def look(self) -> None:
        """See whether they have changed, before an event is called one of an unknown site. These never do."""


@lru_cache(maxsize=4096)
def shard_of(site_id: str, shards: int) -> int:
    """The shard, 0 to shards - 1, that a site belongs to: CRC-32 of its id, the same in every process for ever."""
    return zlib.crc32(site_id.encode()) % shards


def load_sites(path: Path) -> list[Site]:
    """The sites of a truycap.toml; SetupError names the line of what is wrong and what is allowed there."""
    try:
        text = path.read_text("utf-8-sig")  # Windows's Notepad may put a byte order mark first
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read ({error.strerror}). Name another with --config or TRUYCAP_CONFIG."
        ) from None
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    return parse_sites(text, str(path))


def parse_sites(text: str, name: str) -> list[Site]:
    """The sites of a configuration's text; `name` is what errors call it."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{name} is not valid TOML: {error}.") from None
    for key in content:
        if key != "site":
            raise SetupError(f"{name}, line {_line(text, key)}: unknown key {key!r}; allowed here: [[site]].")
    tables = content.get("site", [])
    if not isinstance(tables, list):
        raise SetupError(f"{name}, line {_line(text, 'site')}: write [[site]] with double brackets, one for each site.")
    sites: list[Site] = []
    for index, table in enumerate(tables):
        site = _site(table, text, name, index)
        if any(site.id == other.id for other in sites):
            raise SetupError(f"{name}, line {_line(text, 'id', index)}: the site {site.id!r} is there twice.")
        sites.append(site)
    return sites


def _site(table: object, text: str, name: str, index: int) -> Site:
    def wrong(key: str, message: str) -> SetupError:
        return SetupError(f"{name}, line {_line(text, key, index)}: {message}")

    try:
        site = msgspec.convert(table, Site)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        key = path.rstrip("`").lstrip(".").split(".")[-1].split("[")[0]
        unknown = re.search(r"unknown field `(.*)`", message)
        if unknown:
            allowed = Opening.__struct_fields__ if key == "opening" else Site.__struct_fields__
            near = difflib.get_close_matches(unknown[1], allowed, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise wrong(unknown[1], f"unknown key {unknown[1]!r}{hint}; allowed: {', '.join(allowed)}.") from None
        if key == "language":
            message += f"; allowed: {', '.join(get_args(Language))}"
        raise wrong(key, f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}.") from None
    if not SITE_ID.fullmatch(site.id):
        raise wrong("id", f"id: {site.id!r} must be 1 to 63 small letters, digits, '-' or '_'.")
    if not site.hostnames:
        raise wrong("hostnames", 'hostnames: name at least one host, or ["*"] for any.')
    for host in site.hostnames:
        if host != "*" and not re.fullmatch(r"[\w.-]+", host):
            raise wrong("hostnames", f"hostnames: {host!r} is not a host name; write it without scheme, port or path.")
    try:
        _ = site.zone
    except (KeyError, ValueError, OSError):
        raise wrong("timezone", f"timezone: {site.timezone!r} is unknown; an example: 'Asia/Ho_Chi_Minh'.") from None
    return site


def _line(text: str, key: str, table: int | None = None) -> int:
    """The number of the line on which `key` stands, in the given [[site]] table (1 where it cannot be told)."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if re.match(r"\s*\[\[\s*site\s*\]\]", line)]
    start = starts[table] if table is not None and table < len(starts) else 0
    if key:
        pattern = re.compile(rf"""(?:^|[\s{{,\[.])["']?{re.escape(key)}["']?\s*[=\].]""")
        for number in range(start, len(lines)):
            if pattern.search(lines[number]) and not lines[number].lstrip().startswith("#"):
                return number + 1
    return start + 1
