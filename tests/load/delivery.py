"""An event is sent until it is acknowledged, as the tracker does, and what never was is known."""

import time
from collections.abc import Callable, Mapping
from random import Random

import gevent
import msgspec

from tests.load.client import Answer, Connection
from tests.load.tally import Tally, Unsure
from tests.load.target import Target

_TRIES = 12
"""How often an event is sent, as the tracker sends it again for a day: here for a minute and a half."""
_LONGEST_PAUSE = 10.0
_AGAIN_SECONDS = 60.0


def deliver(
    post: Callable[[bytes], Answer], event: Mapping[str, object], view_by: str, tally: Tally, chance: Random
) -> None:
    """Send an event until it is acknowledged; one without an id, a ping or a leave, once.

    view_by: the headers of whom it is a page view by, where it is one by a person.
    """
    unsure = bool(view_by)
    try:
        for attempt in range(_TRIES):
            answer = post(msgspec.json.encode({**event, "attempt": attempt} if attempt else event))
            if answer.status == 202:
                tally.acknowledged += 1
                tally.views += bool(view_by)
                unsure = False
                return
            if "id" not in event:
                return
            pause = min(max(answer.after, 2.0 ** min(attempt, 3)), _LONGEST_PAUSE)
            gevent.sleep(pause * chance.uniform(0.5, 1.0))
    finally:  # a reader may also be told to leave while it waits
        if unsure:
            tally.unsure.append(Unsure(view_by, event))


def send_again(target: Target, tally: Tally) -> None:
    """Send what never got an answer until it has one, for a minute at most: then it is known to be counted, once."""
    connection = Connection(target.ingest)
    ends = time.monotonic() + _AGAIN_SECONDS
    while tally.unsure and time.monotonic() < ends:
        headers, event = tally.unsure[-1]
        body = msgspec.json.encode({**event, "attempt": _TRIES})
        answer = connection.ask("POST", "/v1/events", headers, body)
        if answer.status == 202:
            tally.unsure.pop()
            tally.acknowledged += 1
            tally.views += 1
        else:
            gevent.sleep(min(answer.after, _LONGEST_PAUSE))
    connection.close()
