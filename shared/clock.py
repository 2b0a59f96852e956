"""The one place where the time comes from; everything else has it injected."""

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
