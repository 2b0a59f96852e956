-- The months of a shard's sites that are old enough to leave: their first days, and how many page views they have.
SELECT toString(site), toStartOfMonth(date) AS month, count()
FROM kept
WHERE shard = {shard:UInt16} AND type = 'pageview' AND date < {before:Date}
GROUP BY site, month
HAVING max(entry_ms) < {quiet:UInt64}
ORDER BY month, site
