-- How many blocks came into the table after the rows of these entries, at most: a part is called
-- <partition>_<first block>_<last block>_..., and blocks are numbered through all partitions.
SELECT
    (
        SELECT max(max_block_number)
        FROM system.parts
        WHERE database = currentDatabase() AND table = 'events' AND active
    ) - min(toInt64(splitByChar('_', _part)[2]))
FROM events
WHERE shard = {shard:UInt16}
  AND time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}
  AND date BETWEEN toDate({from:DateTime64(3, 'UTC')}) - 2 AND toDate({to:DateTime64(3, 'UTC')}) + 2
  AND (entry_ms, entry_seq) BETWEEN ({first_ms:UInt64}, {first_seq:UInt32}) AND ({last_ms:UInt64}, {last_seq:UInt32})
