"""The dashboard that answers within ten seconds: what is lost, is it live, who is slow, how much room is left."""

from panels import dashboard, falling, graph, rising, stat
from queries import EVENTS, of_shards, p99, per_second

FAR_OFF = 30 * 86_400
"""What is further away than this does not matter, and is shown as this: seconds."""

_REDIS, _DISK = "truycap_redis_memory_bytes", "truycap_store_disk_bytes"
USED, LIMIT = f'max({_REDIS}{{kind="used"}})', f'max({_REDIS}{{kind="limit"}})'
FREE, DISK = f'min({_DISK}{{kind="free"}})', f'min({_DISK}{{kind="total"}})'
_REDIS_GROWS, _DISK_SHRINKS = f'max(deriv({_REDIS}{{kind="used"}}[30m]))', f'-min(deriv({_DISK}{{kind="free"}}[6h]))'
REDIS_FULL = f"clamp_max(({LIMIT} - {USED}) / clamp_min({_REDIS_GROWS}, 1), {FAR_OFF})"
DISK_FULL = f"clamp_max({FREE} / clamp_min({_DISK_SHRINKS}, 1), {FAR_OFF})"

LOSING = [
    stat(
        "Events unaccounted for (good: 0)",
        "accepted - counted - rejected - dead-lettered - waiting, of the shard where it is most",
        "max(abs(truycap_delivery_difference_events))",
        good=rising(1),
    ),
    stat(
        "Reckoned up (good: seconds ago)",
        "How long ago the number at the left was true. Old: Redis does not answer, or very many events wait",
        "time() - min(max by (shard) (truycap_delivery_checked_timestamp_seconds))",
        unit="s",
        good=rising(60, yellow=20),
    ),
    stat(
        "Refused, Redis takes none (good: 0)",
        "Requests answered 503. Browsers keep their events and try again",
        per_second("truycap_requests_refused_total", labels='code="unavailable"'),
        unit="reqps",
        good=rising(0.1, yellow=0.001),
    ),
    stat(
        "Dead letters kept (good: 0)",
        "What could not be counted; truycap dead-letters list says why",
        of_shards("truycap_dead_letter_entries"),
        good=rising(50, yellow=1),
    ),
    stat(
        "Alerts firing (good: 0)",
        "What they are called stands below",
        'count(ALERTS{alertstate="firing"}) or vector(0)',
        good=rising(1),
    ),
]

LIVE = [
    stat(
        "From visit to number (good: below 1 s)",
        "What 99 of 100 batches took from accepting their oldest event to its number",
        p99("truycap_event_visible_seconds"),
        unit="s",
        good=rising(5, yellow=1),
    ),
    stat(
        "Oldest event waiting (good: below 1 s)",
        "How long the oldest event waits to be counted, on the shard where it is most",
        "max(truycap_oldest_waiting_seconds)",
        unit="s",
        good=rising(60, yellow=5),
    ),
    stat(
        "Age of shown numbers (good: below 1 s)",
        "Since the api last read the numbers that it shows",
        "max(truycap_read_model_age_seconds)",
        unit="s",
        good=rising(10, yellow=2),
    ),
    stat("Open live streams", "Browsers that get the numbers as they change", "sum(truycap_live_clients)"),
    stat(
        "Processes that answer (good: 1 or more)",
        "By service, of those that Prometheus looks at",
        {job: f'sum(up{{job="{job}"}}) or vector(0)' for job in ("gateway", "ingest", "counter", "api")},
        good=falling(1, 1),
    ),
]

ROOM = [
    stat("Redis: memory used (good: below 60 %)", "Of maxmemory", f"{USED} / {LIMIT}", "percentunit", rising(0.8, 0.6)),
    stat("Redis: full in (good: weeks)", "At the pace of the last 30 minutes", REDIS_FULL, "s", falling(3600, 86_400)),
    stat(
        "Entries waiting (good: below 1,000)",
        "Requests' worth of events that are accepted and not yet counted",
        of_shards("truycap_waiting_entries"),
        good=rising(10_000, yellow=1000),
    ),
    stat(
        "Disk: free (good: above 30 %)",
        "Where ClickHouse writes",
        f"{FREE} / {DISK}",
        "percentunit",
        falling(0.15, 0.3),
    ),
    stat("Disk: full in (good: weeks)", "At the pace of the last 6 hours", DISK_FULL, "s", falling(21_600, 604_800)),
]

STEPS = {
    "ingest answers": p99("truycap_http_request_seconds", labels=EVENTS),
    "Redis takes a group": p99("truycap_group_commit_seconds"),
    "ClickHouse takes a batch": p99("truycap_batch_insert_seconds"),
    "Redis applies a batch": p99("truycap_batch_apply_seconds"),
    "api answers counts": p99("truycap_http_request_seconds", labels='route="/v1/sites/{site}/counts"'),
}
PACE = graph(
    "Accepted and counted (good: the same)",
    "Events a second. Counted stays behind: they wait",
    {
        "accepted": per_second("truycap_events_accepted_total"),
        "counted": per_second("truycap_events_counted_total"),
    },
    "short",
)
FIRING = graph(
    "Alerts firing (good: none)",
    "By name; the runbook has an entry for each",
    {
        "{{alertname}}": 'sum by (alertname) (ALERTS{alertstate="firing"})'
        ' or on () label_replace(vector(0), "alertname", "none", "", "")'
    },
)


OVERVIEW = dashboard(
    "overview",
    "overview",
    {
        "Are we losing anything?": [LOSING],
        "Is it live?": [LIVE],
        "How much room is left?": [ROOM],
        "Who is slow? What goes on?": [
            [
                graph(
                    "99 of 100 take at most (good: below 0.25 s)", "By step of an event's way", STEPS, "s", rising(0.25)
                ),
                PACE,
                FIRING,
            ]
        ],
    },
)
