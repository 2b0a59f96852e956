"""Row b: what one ingest process accepts of arrays of 100 events, against bare decoding and encoding of the same bytes.

python -m tests.bench.arrays [--rounds 5] [--seconds 4]
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from shared.events import Event
from tests.bench.ingest import PATH, SITE, check_agreement, ingesting
from tests.bench.load import load
from tests.bench.options import Measured, Options, run
from tests.bench.requests import posts, write_requests
from tests.bench.result import compared

ARRAY = 100
_CONNECTIONS = 64
"""More would be more than 20,000 events at once, which ingest refuses."""


def arrays(folder: Path, options: Options) -> Measured:
    """Row b."""
    requests = list(posts([SITE], ARRAY))
    file = write_requests(folder / "arrays.lua", requests)
    bodies = [request.text.partition("\r\n\r\n")[2].encode() for request in requests]
    acknowledged = 0
    ours, limits = [], []
    with ingesting(folder) as (stack, ingest):
        for turn in range(options.rounds + 1):
            limit = bare(bodies, options.seconds / 2)
            done = load(ingest.url + PATH, file, options.seconds, connections=_CONNECTIONS)
            acknowledged += done.requests * ARRAY
            if turn:  # the first is the warm-up
                limits.append(limit)
                ours.append(done.rate * ARRAY)
        ingest.stop()
        check_agreement(stack, acknowledged, _CONNECTIONS * ARRAY * (options.rounds + 1))
    return [compared("b", f"arrays of {ARRAY}", "events/s", ours, "decode and encode", limits, 0.5, 0.7)], []


def bare(bodies: Sequence[bytes], seconds: float) -> float:
    """Events a second that a loop decodes from JSON and encodes as msgpack."""
    decode, encode = msgspec.json.Decoder(list[Event]).decode, msgspec.msgpack.Encoder().encode
    events = 0
    begin = time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        for body in bodies:
            encode(decode(body))
        events += len(bodies) * ARRAY
    return events / took


def main(options: Options) -> Measured:
    """Row b."""
    with TemporaryDirectory() as folder:
        return arrays(Path(folder), options)


if __name__ == "__main__":
    run(main, __doc__)
