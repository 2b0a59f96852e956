-- What the roll-up says of months that have left, for only it can say it.
INSERT INTO traffic_hourly_mending
SELECT *
FROM traffic_hourly
WHERE (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
