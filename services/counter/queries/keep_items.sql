-- What the roll-up says of months that have left, for only it can say it; but not of votes, whose events stay. (sumMap's
-- column has the type of the table's.)
INSERT INTO items_mending
SELECT * REPLACE ((arrayFilter(score -> 0, votes.1), arrayFilter(number -> 0, votes.2)) AS votes)
FROM items
WHERE (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
