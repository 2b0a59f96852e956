-- What the roll-up says of months that have left, for only it can say it.
INSERT INTO breakdown_daily_mending
SELECT *
FROM breakdown_daily
WHERE (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
