"""A second opinion on an access log, for the proof of the import: page views of people and bot hits by day.

It shares no code with truycap and is written the other way round: by splitting instead of matching.
`python -m tests.support.independent_count FILE [ZONE]` prints the table; ZONE is UTC unless given.
"""

import gzip
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from crawleruseragents import is_crawler

NO_PAGES = set(
    # fmt: off
    [
        "7z",
        "aac",
        "apk",
        "ashx",
        "atom",
        "avi",
        "avif",
        "axd",
        "bmp",
        "bz2",
        "c",
        "conf",
        "cpp",
        "css",
        "csv",
        "deb",
        "doc",
        "docx",
        "eot",
        "exe",
        "flv",
        "gem",
        "gif",
        "gz",
        "ico",
        "jar",
        "java",
        "jpeg",
        "jpg",
        "js",
        "json",
        "log",
        "lua",
        "m4",
        "m4a",
        "map",
        "mid",
        "mk",
        "mov",
        "mp3",
        "mp4",
        "odt",
        "ogg",
        "otf",
        "pcap",
        "pdf",
        "png",
        "ppt",
        "pptx",
        "py",
        "pyc",
        "rar",
        "rb",
        "rdf",
        "rpm",
        "rss",
        "rtf",
        "sh",
        "sql",
        "svg",
        "swf",
        "tar",
        "tex",
        "tgz",
        "tif",
        "tiff",
        "ttf",
        "txt",
        "wav",
        "webm",
        "webp",
        "wma",
        "wmv",
        "woff",
        "woff2",
        "xls",
        "xlsx",
        "xml",
        "xs",
        "xsl",
        "zip",
    ]
    # fmt: on
)


def pages(path: Path) -> Iterator[tuple[str, datetime, str]]:
    """(line, time, user agent) of every page view in an access log, plain or gzip."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("latin-1").split("\n"):
        parts = line.replace("\\\\", "").replace('\\"', "").split('"')
        request = parts[1].split(" ") if len(parts) >= 7 else []
        if len(request) < 2 or request[0] != "GET" or not parts[2].startswith(" 2"):
            continue
        address, _, query = request[1].lower().partition("?")
        *folders, name = address.rstrip("/").split("/")
        feed = (
            name in ("feed", "rss", "atom") or "=rss" in query or "=atom" in query or folders[-1:] == ["rss"]
        )
        if not feed and not (name.split(".")[-1] in NO_PAGES and "." in name and not address.endswith("/")):
            stamp = parts[0].split("[")[-1].split("]")[0]
            yield line, datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z"), parts[5]


def count(path: Path, zone: str = "UTC") -> dict[str, tuple[int, int]]:
    """{date in the zone: (page views of people, bot hits)}; an empty user agent is a bot's."""
    days: dict[str, tuple[int, int]] = {}
    for _, time, agent in pages(path):
        day = time.astimezone(ZoneInfo(zone)).date().isoformat()
        people, bots = days.get(day, (0, 0))
        bot = agent in ("", "-") or is_crawler(agent)
        days[day] = (people + (not bot), bots + bot)
    return dict(sorted(days.items()))


if __name__ == "__main__":
    print(f"{'date':10}  {'people':>8}  {'bots':>8}")
    for day, (people, bots) in count(Path(sys.argv[1]), *sys.argv[2:3]).items():
        print(f"{day}  {people:8}  {bots:8}")
