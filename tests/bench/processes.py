"""The memory of processes, as Linux says it (proc(5), smaps_rollup)."""

from pathlib import Path


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
