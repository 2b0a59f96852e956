"""All metrics, in one closed module. Labels are names from closed lists: nothing that a visitor sends becomes one.

Names and units follow https://prometheus.io/docs/practices/naming/. What one process knows of itself are counters and
histograms, which begin at 0 with it (those with a reason: when it first occurs). What stands in Redis or ClickHouse is
read from there into gauges, so that it is right whoever was restarted. `multiprocess_mode` says how the gauges of
several workers become one (exposition.py).
"""

import platform
from collections import Counter as Counts
from functools import lru_cache
from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Every service

BUILD = Gauge("truycap_build_info", "Always 1; what runs.", ["version", "python"], multiprocess_mode="livemax")
BUILD.labels(version("truycap"), platform.python_version()).set(1)

REQUESTS = Counter("truycap_http_requests_total", "Requests by route template and status.", ["route", "status"])
REQUEST_SECONDS = Histogram("truycap_http_request_seconds", "Time to answer a request.", ["route"], buckets=_LATENCY)
SITES_BROKEN = Gauge(
    "truycap_sites_config_broken",
    "1 where truycap.toml is broken and the sites before it are in use.",
    multiprocess_mode="livemax",
)

# Ingest

ACCEPTED = Counter("truycap_events_accepted_total", "Events answered 202: their XADD had returned.", ["shard"])
REFUSED = Counter("truycap_requests_refused_total", "Requests that ingest did not accept, by error code.", ["code"])
GROUP_EVENTS = Histogram(
    "truycap_group_commit_events",
    "Events that shared one commit.",
    ["shard"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
)
GROUP_SECONDS = Histogram(
    "truycap_group_commit_seconds", "Time that a commit took, also one that failed.", ["shard"], buckets=_LATENCY
)

# Counter

COUNTED = Counter("truycap_events_counted_total", "Events applied to the read model.", ["shard"])
REJECTED = Counter("truycap_events_rejected_total", "Events that the counter rejected, by reason.", ["shard", "reason"])
DEAD = Counter(
    "truycap_events_dead_lettered_total", "Events put into the dead-letter stream, by reason.", ["shard", "reason"]
)
DEAD_LEVEL = Gauge(
    "truycap_dead_letter_level",
    "Dead letters of late; above TRUYCAP_DEAD_LETTER_CEILING the counter stops.",
    ["shard"],
)
DEAD_CEILING = Gauge("truycap_dead_letter_ceiling", "TRUYCAP_DEAD_LETTER_CEILING; 0 for none.")
BATCH_EVENTS = Histogram(
    "truycap_batch_events",
    "Events in a batch.",
    ["shard"],
    buckets=(1, 10, 100, 500, 1000, 5000, 10_000, 50_000),
)
INSERT_SECONDS = Histogram(
    "truycap_batch_insert_seconds",
    "Time that a batch's INSERT took, also one that failed.",
    ["shard"],
    buckets=_LATENCY,
)
APPLY_SECONDS = Histogram(
    "truycap_batch_apply_seconds", "Time that a batch's apply script took.", ["shard"], buckets=_LATENCY
)
VISIBLE_SECONDS = Histogram(
    "truycap_event_visible_seconds",
    "From accepting a batch's oldest event to its number in the read model.",
    ["shard"],
    buckets=(*_LATENCY, 30.0, 60.0, 300.0),
)
RETRIES = Counter("truycap_insert_retries_total", "Statements that the store failed and that were repeated.", ["shard"])
RECOVERIES = Counter(
    "truycap_recoveries_total", "Batches taken over from a counter that did not finish them.", ["shard"]
)
STORE_ANSWERED = Gauge("truycap_store_answered_timestamp_seconds", "When ClickHouse last answered, in Unix time.")
STORE_DISK = Gauge(
    "truycap_store_disk_bytes", "The disk that ClickHouse writes to, `free` and in all (`total`).", ["kind"]
)
STORE_ROWS = Gauge("truycap_store_rows", "Rows by table.", ["table"])
STORE_BYTES = Gauge("truycap_store_bytes", "Bytes on disk by table, compressed.", ["table"])

# Api

LIVE_CLIENTS = Gauge("truycap_live_clients", "Open Server-Sent Events streams.", multiprocess_mode="livesum")
LIVE_DROPPED = Counter("truycap_live_clients_dropped_total", "Streams ended because their client does not read.")
LIVE_LIMIT = Gauge(
    "truycap_live_clients_limit",
    "How many Server-Sent Events streams may be open (TRUYCAP_LIVE_STREAMS).",
    multiprocess_mode="livesum",
)
READ_MODEL_AGE = Gauge(
    "truycap_read_model_age_seconds", "Since the api last read the read model.", multiprocess_mode="livemax"
)

# Api, of what stands in Redis: the delivery identity
# (accepted is counted plus rejected plus dead-lettered plus waiting)
# and how much room is left. The latest reading of any worker counts.

DELIVERY = Gauge(
    "truycap_delivery_events",
    "The delivery identity since the store was made: events by state "
    "(accepted; counted, rejected, dead_lettered, waiting).",
    ["shard", "state"],
    multiprocess_mode="livemostrecent",
)
DELIVERY_DIFFERENCE = Gauge(
    "truycap_delivery_difference_events",
    "accepted - counted - rejected - dead_lettered - waiting: not 0 where events were lost or counted twice.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
DELIVERY_CHECKED = Gauge(
    "truycap_delivery_checked_timestamp_seconds",
    "When the identity was last reckoned up, in Unix time. Not while more than a megabyte waits.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
WAITING_ENTRIES = Gauge(
    "truycap_waiting_entries",
    "Entries on the stream: accepted, not yet counted.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
OLDEST_WAITING = Gauge(
    "truycap_oldest_waiting_seconds",
    "How long the oldest entry on the stream has waited; 0 where none waits.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
DEAD_LETTERS = Gauge(
    "truycap_dead_letter_entries",
    "Entries in the dead-letter stream now.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
REDIS_MEMORY = Gauge(
    "truycap_redis_memory_bytes",
    "Memory that Redis uses (`used`) and may use (`limit`, maxmemory; 0 for no limit).",
    ["kind"],
    multiprocess_mode="livemostrecent",
)


def begin_shard(shard: int) -> None:
    """Let what a counter says of a shard begin at 0: a rate does not see the first of a series."""
    for metric in (COUNTED, BATCH_EVENTS, INSERT_SECONDS, APPLY_SECONDS, VISIBLE_SECONDS, RETRIES, RECOVERIES):
        metric.labels(str(shard))


_Answered = tuple[str, int, float]
_answered: list[_Answered] = []
answered = _answered.append
"""Takes (route, status, seconds) of an answered request; route is a template, never a path.

The metrics show it after `settle_requests`: one here and there takes prometheus_client ten times as long as each of
many at once.
"""


def settle_requests() -> None:
    """Count and time the requests that have been answered."""
    for (route, status), number in Counts((route, status) for route, status, _ in _answered).items():
        REQUESTS.labels(route, str(status)).inc(number)
    for route, _, seconds in _answered:
        _request_seconds(route).observe(seconds)
    _answered.clear()


_request_seconds = lru_cache(maxsize=1024)(REQUEST_SECONDS.labels)
