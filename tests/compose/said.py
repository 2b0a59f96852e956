"""What a check says, and how it waits."""

import time
from collections.abc import Callable
from http.client import HTTPException

STARTED = time.monotonic()


class SmokeError(Exception):
    """Something is not as it must be."""


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def expect(what: str, found: object, wanted: object) -> None:
    """Say what holds; SmokeError where it does not."""
    if found != wanted:
        raise SmokeError(f"{what}: {found!r} instead of {wanted!r}")
    say(what)


def wait_for(what: str, found: Callable[[], object], wanted: object, seconds: float = 2) -> None:
    """Say how long it took until `found` was `wanted`; SmokeError after so many seconds.

    A service that does not answer meanwhile, as after a kill, is asked again.
    """
    began = time.monotonic()
    now: object = None
    while True:
        try:
            now = found()
        except (OSError, HTTPException) as error:
            now = error
        if now == wanted:
            break
        if time.monotonic() > began + seconds:
            raise SmokeError(f"{what}: not within {seconds:.0f} s, now {now!r} instead of {wanted!r}")
        time.sleep(0.05)
    say(f"{what}, after {time.monotonic() - began:.2f} s")
