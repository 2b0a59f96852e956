"""The load: wrk (https://github.com/wg/wrk), a process of its own."""

import json
import math
import os
import subprocess
from importlib import resources
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.bench.options import VoidError

CONNECTIONS = 256
_runs = count(int.from_bytes(os.urandom(3)) << 8)


class Load(NamedTuple):
    """What came of a run. p50, p99, p999: latencies in ms."""

    requests: int
    seconds: float
    refused: int
    failed: int
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.requests / self.seconds


def load(url: str, requests: Path, seconds: float, *, connections: int = CONNECTIONS, rate: float = 0) -> Load:
    """Send what the file holds (traffic.py) for so long. rate: requests a second; 0: as fast as answers come.

    VoidError where anything but a 2xx was answered.
    """
    script = resources.files("tests.bench").joinpath("wrk.lua")
    environment = {"WRK_REQUESTS": str(requests), "WRK_RUN": str(next(_runs)), "WRK_RATE": str(rate)}
    options = ["-t", "1", "-c", str(connections), "-d", f"{math.ceil(seconds)}s", "--timeout", "10s", "-s", str(script)]
    try:
        done = subprocess.run(
            ["wrk", *options, url],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=True,
        )
    except FileNotFoundError:
        raise VoidError("The load comes from wrk. On Debian and Ubuntu: apt install wrk") from None
    result = Load(**json.loads(done.stdout.splitlines()[-1]))
    if result.refused or result.failed:
        raise VoidError(f"{url}: {result.refused} requests were refused, {result.failed} failed.")
    return result
