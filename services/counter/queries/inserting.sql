-- Which inserts are under way.
SELECT query_id
FROM system.processes
WHERE query_kind = 'Insert' AND current_database = currentDatabase()
