-- The tables of the store: their rows and bytes on disk.
SELECT table, sum(rows), sum(bytes_on_disk)
FROM system.parts
WHERE database = currentDatabase() AND active
GROUP BY table
