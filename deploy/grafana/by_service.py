"""A dashboard for each service; the stores stand beside the counter, which works with both."""

from panels import Json, dashboard, graph, rising
from queries import EVENTS, NOT_OURS, p99, per_second, quantiles


def process(job: str) -> list[list[Json]]:
    """What the processes of a service take."""
    ours = f'{{job="{job}"}}'
    return [
        [
            graph(
                "Processor",
                "Cores in use",
                {"{{instance}}": f"rate(process_cpu_seconds_total{ours}[$__rate_interval])"},
            ),
            graph("Memory", "Of all workers", {"{{instance}}": f"process_resident_memory_bytes{ours}"}, "bytes"),
            graph(
                "Running for",
                "Since the latest start",
                {"{{instance}}": f"time() - process_start_time_seconds{ours}"},
                "s",
            ),
            graph("Version", "What runs", {"{{version}}": f"count by (version) (truycap_build_info{ours})"}),
        ]
    ]


INGEST = dashboard(
    "ingest",
    "ingest",
    {
        "What comes": [
            [
                graph(
                    "Requests by answer",
                    "202 and 200: accepted. 4xx: refused for what they are. 503: Redis took them not",
                    {"{{route}} {{status}}": per_second("truycap_http_requests_total", "route, status", EVENTS)},
                    "reqps",
                    stacked=True,
                ),
                graph(
                    "Refused, by reason",
                    "rate_limited for many: are the proxies' addresses trusted? origin_not_allowed: a site's hostnames",
                    {"{{code}}": per_second("truycap_requests_refused_total", "code")},
                    "reqps",
                ),
                graph(
                    "Events accepted, by shard",
                    "A second",
                    {"shard {{shard}}": per_second("truycap_events_accepted_total", "shard")},
                    stacked=True,
                ),
            ]
        ],
        "How long it takes": [
            [
                graph(
                    "Answer (good: 99 % below 0.25 s)",
                    "From the request to its answer",
                    quantiles("truycap_http_request_seconds", "route", EVENTS),
                    "s",
                    rising(0.25),
                ),
                graph(
                    "Group commit (good: 99 % below 0.1 s)",
                    "An XADD with Redis's fsync; most of an answer's time. From 0.8 s on events are refused",
                    quantiles("truycap_group_commit_seconds"),
                    "s",
                    rising(0.8),
                ),
                graph(
                    "Events that share a commit",
                    "More come at once, more share",
                    quantiles("truycap_group_commit_events"),
                ),
            ]
        ],
        "Its processes": process("ingest"),
    },
)

COUNTER = dashboard(
    "counter",
    "counter, Redis and ClickHouse",
    {
        "Where is every accepted event?": [
            [
                graph(
                    "Accepted, and what became of them (good: accepted is the sum)",
                    "Events since the store was made",
                    {"{{state}}": "sum by (state) (max by (shard, state) (truycap_delivery_events))"},
                ),
                graph(
                    "Unaccounted for, by shard (good: 0)",
                    "accepted - counted - rejected - dead-lettered - waiting",
                    {"shard {{shard}}": "max by (shard) (abs(truycap_delivery_difference_events))"},
                    good=rising(1),
                ),
                graph(
                    "Entries waiting, by shard (good: below 1,000)",
                    "Accepted, not yet counted",
                    {"shard {{shard}}": "max by (shard) (truycap_waiting_entries)"},
                    good=rising(1000),
                ),
                graph(
                    "Oldest waiting, by shard (good: below 1 s)",
                    "How long it has waited",
                    {"shard {{shard}}": "max by (shard) (truycap_oldest_waiting_seconds)"},
                    "s",
                    rising(60),
                ),
            ]
        ],
        "What is counted, and what is not": [
            [
                graph(
                    "Counted, by shard",
                    "Events a second",
                    {"shard {{shard}}": per_second("truycap_events_counted_total", "shard")},
                    stacked=True,
                ),
                graph(
                    "Rejected, by reason",
                    "Events a second that are not counted for what they are, such as the second of an id",
                    {"{{reason}}": per_second("truycap_events_rejected_total", "reason")},
                ),
                graph(
                    "Dead-lettered, by reason (good: none)",
                    "Events since the counters were started that could not be counted",
                    {"{{reason}}": "sum by (reason) (truycap_events_dead_lettered_total)"},
                ),
                graph(
                    "Dead letters kept, by shard (good: 0)",
                    "Entries: truycap dead-letters list",
                    {"shard {{shard}}": "max by (shard) (truycap_dead_letter_entries)"},
                ),
            ],
            [
                graph(
                    "Level of dead letters (good: far below the ceiling)",
                    "At the ceiling the counter stops",
                    {
                        "shard {{shard}}": "max by (shard) (truycap_dead_letter_level)",
                        "ceiling": "max(truycap_dead_letter_ceiling)",
                    },
                ),
                graph(
                    "Taken over and tried again (good: 0)",
                    "A second. Batches of a counter that died; statements that ClickHouse failed",
                    {
                        "batches taken over": per_second("truycap_recoveries_total"),
                        "statements tried again": per_second("truycap_insert_retries_total"),
                    },
                    "ops",
                ),
                graph(
                    "ClickHouse last answered (good: seconds ago)",
                    "Any counter",
                    {"ago": "time() - max(truycap_store_answered_timestamp_seconds > 0)"},
                    "s",
                    rising(60),
                ),
            ],
        ],
        "How long it takes": [
            [
                graph(
                    "From visit to number (good: 99 % below 1 s)",
                    "From accepting a batch's oldest event",
                    quantiles("truycap_event_visible_seconds"),
                    "s",
                    rising(5),
                ),
                graph("INSERT into ClickHouse", "Of a batch", quantiles("truycap_batch_insert_seconds"), "s"),
                graph(
                    "Apply in Redis",
                    "Of a batch; Redis does nothing else",
                    quantiles("truycap_batch_apply_seconds"),
                    "s",
                ),
                graph("Events in a batch", "More wait, more share", quantiles("truycap_batch_events")),
            ]
        ],
        "The stores": [
            [
                graph(
                    "Redis: memory",
                    "When it is full, events are refused",
                    {"{{kind}}": "max by (kind) (truycap_redis_memory_bytes)"},
                    "bytes",
                ),
                graph(
                    "ClickHouse: disk",
                    "When it is full, counting waits",
                    {"{{kind}}": "min by (kind) (truycap_store_disk_bytes)"},
                    "bytes",
                ),
                graph(
                    "ClickHouse: bytes by table",
                    "Compressed, on disk",
                    {"{{table}}": "max by (table) (truycap_store_bytes)"},
                    "bytes",
                    stacked=True,
                ),
                graph(
                    "ClickHouse: rows by table",
                    "Of what is counted",
                    {"{{table}}": "max by (table) (truycap_store_rows)"},
                ),
            ],
        ],
        "Its processes": process("counter"),
    },
)

API = dashboard(
    "api",
    "api",
    {
        "What is asked for": [
            [
                graph(
                    "Requests by route",
                    "Answers a second; a live stream is none while it is open",
                    {"{{route}}": per_second("truycap_http_requests_total", "route", f'job="api", {NOT_OURS}')},
                    "reqps",
                    stacked=True,
                ),
                graph(
                    "Answers by status (good: no 5xx)",
                    "404 for sites that there are not, 403 for numbers that are not public",
                    {"{{status}}": per_second("truycap_http_requests_total", "status", f'job="api", {NOT_OURS}')},
                    "reqps",
                ),
                graph(
                    "Open live streams",
                    "Browsers that get the numbers as they change",
                    {
                        "{{instance}}": 'truycap_live_clients{job="api"}',
                        "{{instance}}: may be open": 'truycap_live_clients_limit{job="api"}',
                    },
                ),
                graph(
                    "Streams ended by the api (good: none)",
                    "Their clients do not read what they are sent; a browser opens another by itself",
                    {"{{instance}}": per_second("truycap_live_clients_dropped_total", "instance", 'job="api"')},
                    "ops",
                ),
            ]
        ],
        "How long it takes, how old it is": [
            [
                graph(
                    "Answer, by route (good: 99 % below 0.25 s)",
                    "Statistics come from ClickHouse and may take longer",
                    {"{{route}}": p99("truycap_http_request_seconds", "route", f'job="api", {NOT_OURS}')},
                    "s",
                    rising(0.25),
                ),
                graph(
                    "Answer, all but statistics",
                    "What pages wait for",
                    quantiles("truycap_http_request_seconds", labels=f'job="api", {NOT_OURS}, route!~".*/stats/.*"'),
                    "s",
                    rising(0.25),
                ),
                graph(
                    "Age of shown numbers (good: below 1 s)",
                    "Since the read model was last read",
                    {"{{instance}}": 'truycap_read_model_age_seconds{job="api"}'},
                    "s",
                    rising(10),
                ),
            ]
        ],
        "Its processes": process("api"),
    },
)
