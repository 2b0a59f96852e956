-- A partition with one row at each position, and none whose home is an earlier partition.
INSERT INTO events_mending
SELECT *
FROM events
WHERE _partition_id = {partition:String}
  AND (shard, entry_ms, entry_seq, entry_index) NOT IN
(
    SELECT shard, entry_ms, entry_seq, entry_index
    FROM events
    GROUP BY shard, entry_ms, entry_seq, entry_index
    HAVING count() > 1 AND min(_partition_id) < {partition:String}
)
LIMIT 1 BY shard, entry_ms, entry_seq, entry_index
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
