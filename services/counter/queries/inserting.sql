-- How many inserts are under way.
SELECT count()
FROM system.processes
WHERE query_kind = 'Insert' AND current_database = currentDatabase()
