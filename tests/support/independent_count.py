"""A second opinion on an access log, for the proof of the import: page views of people and bot hits by day.

It shares no code with truycap. `python -m tests.support.independent_count FILE [ZONE]` prints it (in UTC)."""

import gzip
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote
from zoneinfo import ZoneInfo

from crawleruseragents import is_crawler

FILES = """ 3gp 7z aac apk apng appcache asf ashx asmx asx atom avi avif axd azw3 bak bash bat bin bmp bz2 c cab cc
cfg cjs class coffee conf cpp crx css csv cur dat deb diff djvu dll dmg doc docm docx dot dotm dotx dtd egg eot eps
epub exe f4v flac flv gem geojson gif go gpx gz h heic heif hpp htc ico ics img inc ini ipa iso jar java jfif jpe jpeg
jpg js jsm json jsonld jsonp kml kmz less log lua lz lzma m3u m3u8 m4 m4a m4p m4v manifest map mid midi mjs mk mkv
mobi mov mp2 mp3 mp4 mpd mpe mpeg mpg msi msp odp ods odt oga ogg ogv opus otf patch pcap pdf pfb phps pkg png pps
ppsx ppt pptx ps ps1 psd py pyc pyo ra ram rar rb rdf rm rpm rs rss rtf sass scss sh so sql srt svc svg svgz swf swift
tar tbz tbz2 tex tgz tif tiff torrent ts tsv tsx ttc ttf txt txz vcf vtt war wasm wav webm webmanifest webp whl wma
wmv woff woff2 wsdl xap xls xlsb xlsm xlsx xml xpi xs xsd xsl xslt xz yaml yml z zip zst """.replace("\n", " ")
FEEDS = {"rss", "rss2", "atom", "rdf", "feed", "index.xml", "atom.xml", "rss.xml", "feed.xml", "feed.php", "rss.php"}


def pages(path: Path) -> Iterator[tuple[str, datetime, str]]:
    """(line, time, user agent) of every page view in an access log, plain or gzip."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("latin-1").split("\n"):
        parts = line.replace("\\\\", "").replace('\\"', "").split('"')
        method, _, target = (parts[1] if len(parts) > 6 else "").split(" HTTP/")[0].partition(" ")
        if method == "GET" and parts[2].startswith(" 2") and len(target) <= 2048 and is_page(target.lower()):
            yield line, datetime.strptime(parts[0].split("[")[-1], "%d/%b/%Y:%H:%M:%S %z] "), parts[5]


def is_page(target: str) -> bool:
    """Whether a browser shows it as a page: a path of this server, no feed, no file of a known kind."""
    address, _, query = target.partition("?")
    folders = unquote(address.partition("#")[0]).split("/")
    name = folders[-1].partition(";")[0]
    above, last = ["", "", *filter(None, folders)][-2:]
    asked = dict(parse_qsl(query.replace("=comments-", "=")))
    kinds = {asked.get(key, "").split("/")[0].rstrip(".012") for key in ("flav", "feed", "format", "type", "op", "alt")}
    feed = last in FEEDS or bool(kinds & FEEDS) or (above in ("feed", "rss") and "." not in last)
    file = "." in name and f" {name.split('.')[-1]} " in FILES
    return target.startswith("/") and not (feed or file or folders[1] == ".well-known")


def count(path: Path, zone: str = "UTC") -> dict[str, tuple[int, int]]:
    """{date in the zone: (page views of people, bot hits)}; no user agent is a bot's."""
    days: dict[str, list[int]] = {}
    for _, time, agent in pages(path):
        day = days.setdefault(str(time.astimezone(ZoneInfo(zone)).date()), [0, 0])
        day[agent in ("", "-") or is_crawler(agent)] += 1
    return {day: (people, bots) for day, (people, bots) in sorted(days.items())}


if __name__ == "__main__":
    for date, (views, hits) in count(Path(sys.argv[1]), *sys.argv[2:3]).items():
        print(f"{date}  {views:8} page views  {hits:8} bot hits")
