-- Where the roll-up by day and dimension does not say what the events say, in months that have not left.
SELECT concat(site, ' ', toString(date), ' ', dimension, ' ', value),
       concat(toString(e.visits), ' visits, ', toString(e.pageviews), ' page views'),
       concat(toString(r.visits), ' visits, ', toString(r.pageviews), ' page views')
FROM
(
    SELECT site, date, part.1 AS dimension, part.2 AS value, sum(visit) AS visits, count() AS pageviews
    FROM kept
    ARRAY JOIN if(kind = 'bot', [('bot', toString(bot))],
        [('page', item), ('referrer', toString(referrer)), ('browser', toString(browser)),
         ('system', toString(system)), ('country', toString(country))]) AS part
    WHERE type = 'pageview'
    GROUP BY site, date, dimension, value
) AS e
FULL OUTER JOIN
(
    SELECT site, date, toString(dimension) AS dimension, value, sum(visits) AS visits, sum(pageviews) AS pageviews
    FROM breakdown_daily
    WHERE (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
    GROUP BY site, date, dimension, value
) AS r USING (site, date, dimension, value)
WHERE (e.visits, e.pageviews) != (r.visits, r.pageviews)
ORDER BY 1
LIMIT 100
