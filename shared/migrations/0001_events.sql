-- One row per counted page view or rating; the truth from which all else can be made again.
-- Deduplication: an insert's token is dropped when repeated only with a window on the source *and* on every target.
CREATE TABLE events
(
    shard        UInt16,
    entry_ms     UInt64 CODEC(Delta, ZSTD(1)),
    entry_seq    UInt32 CODEC(ZSTD(1)),
    entry_index  UInt16 CODEC(Delta, ZSTD(1)),
    id           UUID,
    type         Enum8('pageview' = 1, 'rating' = 2),
    source       Enum8('live' = 1, 'import' = 2),
    site         LowCardinality(String),
    time         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    date         Date CODEC(Delta, ZSTD(1)),
    hour         UInt8 CODEC(ZSTD(1)),
    item         String CODEC(ZSTD(1)),
    title        LowCardinality(String),
    visitor      UInt64,
    kind         Enum8('guest' = 1, 'member' = 2, 'bot' = 3),
    visit        UInt8 CODEC(ZSTD(1)),
    bot          LowCardinality(String),
    browser      LowCardinality(String),
    system       LowCardinality(String),
    country      LowCardinality(String),
    referrer     LowCardinality(String),
    score        UInt8 CODEC(ZSTD(1)),
    previous     UInt8 CODEC(ZSTD(1)),
    agent        LowCardinality(String),
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(date)
ORDER BY (site, time)
SETTINGS non_replicated_deduplication_window = 100000;

-- Page views, visits and bot hits by site-local hour.
CREATE TABLE traffic_hourly
(
    site      LowCardinality(String),
    date      Date,
    hour      UInt8,
    visits    UInt64,
    pageviews UInt64,
    bots      UInt64
)
ENGINE = SummingMergeTree
ORDER BY (site, date, hour)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW traffic_hourly_view TO traffic_hourly AS
SELECT site, date, hour, sum(visit) AS visits, countIf(kind != 'bot') AS pageviews, countIf(kind = 'bot') AS bots
FROM events
WHERE type = 'pageview'
GROUP BY site, date, hour;

-- Page views by day and by what the visitor came with: browser, system, country, referring host; bots by name; pages.
CREATE TABLE breakdown_daily
(
    site      LowCardinality(String),
    date      Date,
    dimension Enum8('page' = 1, 'referrer' = 2, 'browser' = 3, 'system' = 4, 'country' = 5, 'bot' = 6),
    value     String,
    visits    UInt64,
    pageviews UInt64
)
ENGINE = SummingMergeTree
ORDER BY (site, dimension, date, value)
SETTINGS non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW breakdown_daily_view TO breakdown_daily AS
SELECT site, date, part.1 AS dimension, part.2 AS value, sum(visit) AS visits, count() AS pageviews
FROM events
ARRAY JOIN if(kind = 'bot',
    [('bot', toString(bot))],
    [('page', item), ('referrer', toString(referrer)), ('browser', toString(browser)),
     ('system', toString(system)), ('country', toString(country))]) AS part
WHERE type = 'pageview'
GROUP BY site, date, dimension, value;

-- Items by day: views without bots, and how the votes changed; all days together are the votes as they stand now.
CREATE TABLE items
(
    site  LowCardinality(String),
    item  String,
    date  Date,
    title SimpleAggregateFunction(anyLast, String),
    views SimpleAggregateFunction(sum, UInt64),
    votes SimpleAggregateFunction(sumMap, Tuple(Array(UInt8), Array(Int64)))
)
ENGINE = AggregatingMergeTree
ORDER BY (site, item, date)
SETTINGS non_replicated_deduplication_window = 100000;

-- A changed vote takes one from the score it had and adds one to the score it has.
CREATE MATERIALIZED VIEW items_view TO items AS
SELECT
    site,
    item,
    date,
    anyLast(title) AS title,
    countIf(type = 'pageview') AS views,
    sumMap(if(type = 'rating', if(previous = 0, [score], [score, previous]), []),
           if(type = 'rating', if(previous = 0, [1], [1, -1]), [])::Array(Int64)) AS votes
FROM events
WHERE kind != 'bot'
GROUP BY site, item, date
