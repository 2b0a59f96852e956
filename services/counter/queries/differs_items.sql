-- Where the roll-up by item does not say what the events say; the views in months that have not left, the votes of all
-- times, counted anew from every voter's last one.
SELECT concat(site, ' ', item),
       concat(toString(e.views), ' views, votes ', toString(e.votes)),
       concat(toString(r.views), ' views, votes ', toString(r.votes))
FROM
(
    SELECT site, item, sum(views) AS views, arraySort(arrayFlatten(groupArray(votes))) AS votes
    FROM
    (
        SELECT site, item, countIf(type = 'pageview') AS views, []::Array(Tuple(UInt8, Int64)) AS votes
        FROM kept
        WHERE kind != 'bot'
        GROUP BY site, item
        UNION ALL
        SELECT site, item, 0 AS views, [(score, toInt64(count()))] AS votes
        FROM
        (
            SELECT site, item, argMax(score, (entry_ms, entry_seq, entry_index)) AS score
            FROM events
            WHERE type = 'rating'
            GROUP BY site, item, visitor, shard
        )
        GROUP BY site, item, score
    )
    GROUP BY site, item
) AS e
FULL OUTER JOIN
(
    SELECT site, item,
           sumIf(views, (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)) AS views,
           arraySort(arrayFilter(v -> v.2 != 0, arrayZip((sumMap(votes) AS summed).1, summed.2))) AS votes
    FROM items
    GROUP BY site, item
) AS r USING (site, item)
WHERE (e.views, e.votes) != (r.views, r.votes)
ORDER BY 1
LIMIT 100
