-- Visits and page views by site-local day, up to a position of the stream; from the roll-up in months that have left.
SELECT site, toString(date), sum(visits), sum(pageviews)
FROM
(
    SELECT site, date, visit::UInt64 AS visits, 1::UInt64 AS pageviews
    FROM kept
    WHERE shard = {shard:UInt16} AND type = 'pageview' AND kind != 'bot'
      AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
    UNION ALL
    SELECT site, date, visits, pageviews
    FROM traffic_hourly
    WHERE (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired WHERE shard = {shard:UInt16})
)
GROUP BY site, date
