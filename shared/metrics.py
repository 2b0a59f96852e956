"""All metrics, in one closed module. Labels are names from closed lists: nothing that a visitor sends becomes one."""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("truycap_http_requests_total", "Requests by route template and status.", ["route", "status"])
REQUEST_SECONDS = Histogram("truycap_http_request_seconds", "Time to answer a request.", ["route"], buckets=_LATENCY)

ACCEPTED = Counter("truycap_events_accepted_total", "Events answered 202: their XADD had returned.", ["shard"])
REFUSED = Counter("truycap_events_refused_total", "Requests that ingest did not accept, by error code.", ["code"])
GROUP_EVENTS = Histogram(
    "truycap_group_commit_events",
    "Events that shared one XADD.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
GROUP_SECONDS = Histogram("truycap_group_commit_seconds", "Time that an XADD took.", buckets=_LATENCY)

COUNTED = Counter("truycap_events_counted_total", "Events applied to the read model.", ["shard"])
REJECTED = Counter("truycap_events_rejected_total", "Events that the counter rejected, by reason.", ["shard", "reason"])
DEAD = Counter(
    "truycap_events_dead_lettered_total", "Events in the dead-letter stream, by reason.", ["shard", "reason"]
)
DEAD_LEVEL = Gauge(
    "truycap_dead_letter_level",
    "Dead letters of late; above TRUYCAP_DEAD_LETTER_CEILING the counter stops.",
    ["shard"],
)
BATCH_EVENTS = Histogram(
    "truycap_batch_events",
    "Events in a batch.",
    buckets=(1, 10, 100, 500, 1000, 5000, 10_000, 50_000, 100_000),
)
INSERT_SECONDS = Histogram("truycap_batch_insert_seconds", "Time that a batch's INSERT took.", buckets=_LATENCY)
APPLY_SECONDS = Histogram("truycap_batch_apply_seconds", "Time that a batch's apply script took.", buckets=_LATENCY)
VISIBLE_SECONDS = Histogram(
    "truycap_event_visible_seconds",
    "From accepting a batch's oldest event to its number in the read model.",
    buckets=_LATENCY,
)
RETRIES = Counter("truycap_insert_retries_total", "Inserts that were tried again because the store failed.", ["shard"])
RECOVERIES = Counter(
    "truycap_recoveries_total", "Batches taken over from a counter that did not finish them.", ["shard"]
)

LIVE_CLIENTS = Gauge("truycap_live_clients", "Open Server-Sent Events streams.")
READ_MODEL_AGE = Gauge("truycap_read_model_age_seconds", "Since the api last read the read model.")


def observe_request(route: str, status: int, seconds: float) -> None:
    """Count and time one answered request; route is a template, never a path."""
    REQUESTS.labels(route, str(status)).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)


SITES_BROKEN = Gauge(
    "truycap_sites_config_broken", "1 where truycap.toml is broken and the sites before it are in use."
)
