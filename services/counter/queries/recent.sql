-- The ids (16 bytes, in the order of their digits) of the latest live events of a shard, in the order of the stream.
SELECT site, UUIDStringToNum(toString(id)), entry_ms, entry_seq
FROM
(
    SELECT site, id, entry_ms, entry_seq, entry_index
    FROM events
    WHERE shard = {shard:UInt16} AND source = 'live' AND entry_ms >= {since:UInt64}
      AND toUnixTimestamp64Milli(time) >= toInt64(entry_ms) - {late:Int64}
      AND time >= fromUnixTimestamp64Milli(toInt64({since:UInt64}) - {late:Int64})
      AND date >= toDate(fromUnixTimestamp64Milli(toInt64({since:UInt64}) - {late:Int64}, 'UTC')) - 1
    ORDER BY entry_ms DESC, entry_seq DESC, entry_index DESC
    LIMIT {most:UInt32}
)
ORDER BY entry_ms, entry_seq, entry_index
