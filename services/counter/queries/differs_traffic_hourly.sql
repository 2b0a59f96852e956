-- Where the roll-up by hour does not say what the events say, in months that have not left.
SELECT concat(site, ' ', toString(date), ' ', toString(hour), ' h'),
       concat(toString(e.visits), ' visits, ', toString(e.pageviews), ' page views, ', toString(e.bots), ' bot hits'),
       concat(toString(r.visits), ' visits, ', toString(r.pageviews), ' page views, ', toString(r.bots), ' bot hits')
FROM
(
    SELECT site, date, hour, sum(visit) AS visits, countIf(kind != 'bot') AS pageviews, countIf(kind = 'bot') AS bots
    FROM kept
    WHERE type = 'pageview'
    GROUP BY site, date, hour
) AS e
FULL OUTER JOIN
(
    SELECT site, date, hour, sum(visits) AS visits, sum(pageviews) AS pageviews, sum(bots) AS bots
    FROM traffic_hourly
    WHERE (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
    GROUP BY site, date, hour
) AS r USING (site, date, hour)
WHERE (e.visits, e.pageviews, e.bots) != (r.visits, r.pageviews, r.bots)
ORDER BY 1
LIMIT 100
