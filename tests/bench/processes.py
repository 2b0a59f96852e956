"""The memory and the CPU time of processes, as Linux says them (proc(5): smaps_rollup, stat)."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _of(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {name} of process {pid}")


def pss(pid: int) -> int:
    """Bytes; what is shared with other processes counts in part."""
    return _of(pid, "Pss")


def rss(pid: int) -> int:
    """Bytes; what is shared with other processes counts in full."""
    return _of(pid, "Rss")


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
