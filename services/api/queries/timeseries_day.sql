-- Visits, page views and bot hits of a site by site-local day.
SELECT toString(date) AS at, sum(visits), sum(pageviews), sum(bots)
FROM traffic_hourly
WHERE site = {site:String} AND date BETWEEN {since:Date} AND {until:Date}
GROUP BY at
ORDER BY at
