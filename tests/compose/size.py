"""How much memory, CPU and disk the whole stack takes under a steady load, with its limits on.

    python -m tests.compose.size --rate 1000 --minutes 5        (prints a Markdown table)

The load is open: an event is sent when it is due, whether or not the earlier ones have been answered. Eight sites on
all shards, a portal's pages; visitors look at four pages and go, 1 % of events are votes. As in tests.compose, the
numbers are those of the images that the engine has: of a stand-in, they say nothing about the server it stands for.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from tests.compose.client import BROWSER
from tests.compose.project import NAME, PORT, Project
from tests.compose.said import say

SITES = [f"portal-{number}" for number in range(8)]
_PAGES = 2000
_VIEWS_OF_A_VISITOR = 4
_AT_A_TIME = 500
_CONNECTIONS = 200
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Sender:
    """A number of connections to the gateway, each opened when it is needed and kept."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._free = asyncio.Semaphore(_CONNECTIONS)

    async def send(self, body: bytes, due: float) -> None:
        """Send one request's events and note its answer, and the seconds from when it was due."""
        async with self._free:
            await self._send(body)
        self.seconds.append(time.perf_counter() - due)

    async def _send(self, body: bytes) -> None:
        try:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", int(PORT))
            writer.write(
                b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"User-Agent: %b\r\nContent-Length: %d\r\n\r\n%b" % (BROWSER.encode(), len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self._idle.append((reader, writer))
            self.statuses[head.split(b" ", 2)[1].decode()] += 1
        except (OSError, EOFError) as error:
            self.statuses[type(error).__name__] += 1


def event(chance: random.Random, number: int) -> bytes:
    """The event of that number: 500 visitors take turns until each has looked at four pages, then the next 500."""
    visitor = number // (_VIEWS_OF_A_VISITOR * _AT_A_TIME) * _AT_A_TIME + number % _AT_A_TIME
    site, page = SITES[visitor % len(SITES)], f"/chuyen-muc-{chance.randrange(20)}/bai-viet-{chance.randrange(_PAGES)}"
    known = {"site": site, "id": str(UUID(int=chance.getrandbits(128), version=4)), "visitor": f"visitor-{visitor}"}
    if chance.random() < 0.01:
        return json.dumps({"type": "rating", "item": page, "score": chance.randint(1, 5), **known}).encode()
    title = "Tiêu đề của một bài viết trên cổng thông tin"
    return json.dumps({"type": "pageview", "url": f"https://portal.example{page}", "title": title, **known}).encode()


async def load(rate: int, seconds: float, at_once: int) -> Sender:
    """rate: events a second; at_once: how many of them share a request."""
    sender, chance, under_way = Sender(), random.Random(1), set[asyncio.Task[None]]()
    began = time.perf_counter()
    for number in range(0, int(rate * seconds), at_once):
        due = began + number / rate
        if (early := due - time.perf_counter()) > 0.001:
            await asyncio.sleep(early)
        events = [event(chance, each) for each in range(number, number + at_once)]
        body = events[0] if at_once == 1 else b"[" + b",".join(events) + b"]"
        task = asyncio.create_task(sender.send(body, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return sender


class Watch(threading.Thread):
    """What `docker stats` says each second of every container: the most memory, and all CPU percentages."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most: dict[str, float] = {}
        self.cpu: dict[str, list[float]] = {}
        self.together = 0.0

    def run(self) -> None:
        command = ["docker", "stats", "--format", "{{.Name}} {{.MemUsage}} {{.CPUPerc}}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stats:
            assert stats.stdout
            now: dict[str, float] = {}
            for line in stats.stdout:
                name, _, rest = _ESCAPES.sub("", line).partition("-1 ")
                if (
                    not name.startswith(f"{NAME}-") or not rest.strip() or rest.startswith("--")
                ):  # of another project, or ended
                    continue
                name = name.removeprefix(f"{NAME}-")
                used, *_, percent = rest.split()
                now[name] = _mib(used)
                self.most[name] = max(self.most.get(name, 0), now[name])
                self.cpu.setdefault(name, []).append(float(percent.strip("%")))
                self.together = max(self.together, sum(now.values()))


def _mib(text: str) -> float:
    """`12.3MiB` -> 12.3"""
    for unit, factor in (("GiB", 1024), ("MiB", 1), ("KiB", 1 / 1024), ("B", 1 / 1024**2)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def disk(project: Project) -> dict[str, float]:
    """MiB of every volume. Needs root."""
    sizes = {}
    for name in ("redis", "clickhouse", "prometheus", "grafana"):
        folder = project.docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{NAME}_{name}").strip()
        used = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True).stdout
        sizes[name] = int(used.split()[0]) / 1024
    return sizes


def report(watch: Watch, limits: dict[str, float], before: dict[str, float], after: dict[str, float]) -> str:
    lines = ["| | memory, most | limit | CPU, mean | disk, grown by |", "|---|---|---|---|---|"]
    for name, most in sorted(watch.most.items(), key=lambda item: -item[1]):
        cpu = sum(watch.cpu[name]) / len(watch.cpu[name])
        grown = f"{after[name] - before[name]:.0f} MiB" if name in after else ""
        lines.append(f"| {name} | {most:.0f} MiB | {limits[name]:.0f} MiB | {cpu:.0f} % | {grown} |")
    lines.append(f"| together | {watch.together:.0f} MiB | {sum(limits[name] for name in watch.most):.0f} MiB | | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--at-once", type=int, default=1, help="events in a request")
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="truycap-size-") as folder:
        Path(folder).chmod(0o755)
        sites = "".join(f'[[site]]\nid = "{site}"\nhostnames = ["*"]\n' for site in SITES)
        (Path(folder) / "truycap.toml").write_text(sites, "utf-8")
        project = Project(Path(folder))
        project.environment |= {"TRUYCAP_CONFIG_DIR": folder, "COMPOSE_PROFILES": "ops"}
        try:
            project.compose("down", "--volumes")
            project.compose("up", "--detach", "--build", "--wait")
            services = json.loads(project.compose("config", "--format", "json"))["services"]
            limits = {name: int(service["mem_limit"]) / 1024**2 for name, service in services.items()}
            before = disk(project)
            watch = Watch()
            watch.start()
            began = time.monotonic()
            sender = asyncio.run(load(options.rate, options.minutes * 60, options.at_once))
            reached = len(sender.seconds) * options.at_once / (time.monotonic() - began)
            say(f"answers: {dict(sender.statuses)}, {reached:.0f} events a second (wanted: {options.rate})")
            ordered = sorted(sender.seconds)
            for share in (0.5, 0.99, 1):
                say(f"{share:.0%} of answers within {ordered[int((len(ordered) - 1) * share)] * 1000:.0f} ms")
            project.truycap("verify")
            say("verify: exit code 0")
            print(report(watch, limits, before, disk(project)))
            print(project.compose("exec", "-T", "redis", "sh", "-c", _REDIS_MEMORY))
            restarts = {name: project.inspect(name)["RestartCount"] for name in watch.most}
            say(f"restarts: {restarts}")
        finally:
            project.compose("down", "--volumes", check=False)
    return 0


_REDIS_MEMORY = (
    "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli info memory | grep -E '^(used_memory|maxmemory)_human'"
)


if __name__ == "__main__":
    sys.exit(main())
