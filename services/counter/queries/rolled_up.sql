-- How many page views (bots' too) each roll-up knows in some months of some sites. items has none of the bots'.
SELECT toString(site), toString(month), sum(traffic), sum(breakdown), sum(items)
FROM
(
    SELECT site, toStartOfMonth(date) AS month, pageviews + bots AS traffic, 0::UInt64 AS breakdown, bots AS items
    FROM traffic_hourly
    UNION ALL
    SELECT site, toStartOfMonth(date), 0, pageviews, 0
    FROM breakdown_daily
    WHERE dimension IN ('page', 'bot')
    UNION ALL
    SELECT site, toStartOfMonth(date), 0, 0, views
    FROM items
)
WHERE site IN {sites:Array(String)} AND month IN {months:Array(Date)}
GROUP BY site, month
