-- What fills a roll-up: the SELECT of its view, and the columns of its table.
SELECT as_select,
(
    SELECT arrayStringConcat(groupArray(name), ', ')
    FROM (SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position)
)
FROM system.tables
WHERE database = currentDatabase() AND name = concat({table:String}, '_view')
