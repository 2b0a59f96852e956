"""Something that happens again and again beside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def meanwhile(action: Callable[[], Any], seconds: float) -> Iterator[None]:
    """The action in a thread, the first time and every other that many seconds later, whether it fails or not."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            with suppress(Exception):
                action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
