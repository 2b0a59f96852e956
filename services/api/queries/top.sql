-- The values of a dimension with the most page views in a period; empty values are what could not be told.
SELECT value, sum(visits) AS visits, sum(pageviews) AS pageviews
FROM breakdown_daily
WHERE site = {site:String}
  AND dimension = {dimension:String}
  AND date BETWEEN {since:Date} AND {until:Date}
GROUP BY value
ORDER BY pageviews DESC, value
LIMIT {limit:UInt32}
