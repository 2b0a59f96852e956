-- Visits and page views by site-local day, up to a position of the stream.
SELECT site, toString(date), sum(visit), count()
FROM events
WHERE shard = {shard:UInt16} AND type = 'pageview' AND kind != 'bot'
  AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
GROUP BY site, date
