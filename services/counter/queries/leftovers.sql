-- In which partitions (months) page views stand that have left, and of which sites.
SELECT _partition_id, groupUniqArray(toString(site))
FROM events
WHERE type = 'pageview' AND date < {before:Date}
  AND (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired)
GROUP BY _partition_id
ORDER BY _partition_id
