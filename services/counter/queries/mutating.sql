-- Whether a deletion is under way.
SELECT count() > 0
FROM system.mutations
WHERE database = currentDatabase() AND table = 'events' AND NOT is_done
