-- The rows of a batch that an earlier attempt has written already, in the order of the table's columns.
SELECT
    shard, entry_ms, entry_seq, entry_index, UUIDStringToNum(toString(id)), CAST(type AS Int8), CAST(source AS Int8),
    site, toUnixTimestamp64Milli(time), date, hour, item, title, visitor, CAST(kind AS Int8), visit, bot, browser, system,
    country, referrer, score, previous, agent
FROM events
WHERE shard = {shard:UInt16}
  AND time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}
  AND date BETWEEN toDate({from:DateTime64(3, 'UTC')}) - 2 AND toDate({to:DateTime64(3, 'UTC')}) + 2
  AND (entry_ms, entry_seq) BETWEEN ({first_ms:UInt64}, {first_seq:UInt32}) AND ({last_ms:UInt64}, {last_seq:UInt32})
ORDER BY entry_ms, entry_seq, entry_index
