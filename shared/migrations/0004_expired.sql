-- The months of a site whose page views have left `events` by age. From the moment that a month stands here nothing asks
-- for its page views any more, and ClickHouse deletes them when it gets to it. rows: how many there were. A month may be
-- written down twice: by a counter that did not know whether it had done so.
CREATE TABLE expired
(
    shard   UInt16,
    site    LowCardinality(String),
    month   Date,
    rows    UInt64,
    decided DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(rows)
ORDER BY (shard, site, month)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- The events that are not expired, for every question of what is true. Ratings stay for ever: who votes again takes back
-- the vote before. (A column that `events` gets later is here once the view is made again.)
CREATE VIEW kept AS
SELECT *
FROM events
WHERE type != 'pageview' OR (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
