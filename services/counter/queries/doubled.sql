-- In which partitions rows stand at a position that another row has, and how many are too many there: a position's home
-- is the first partition that has it.
WITH doubled AS
(
    SELECT shard, entry_ms, entry_seq, entry_index, min(_partition_id) AS home
    FROM events
    GROUP BY shard, entry_ms, entry_seq, entry_index
    HAVING count() > 1
)
SELECT _partition_id AS partition,
       count() - uniqExactIf((shard, entry_ms, entry_seq, entry_index), _partition_id = home) AS surplus
FROM events
INNER JOIN doubled USING (shard, entry_ms, entry_seq, entry_index)
GROUP BY partition
HAVING surplus > 0
ORDER BY partition
