-- A page view takes a third of the room that it took.
--
-- id: that of a live event is asked for only while its tracker may send it again, which takes a day. It goes away with
-- the merges two to three weeks after the event was accepted; so long may a counter have been away and its events have
-- waited (over Tết, say). By whole weeks, so that a part is not merged again and again for some more of its rows. Imported
-- events keep theirs: the same log may be imported again at any time.
-- item: there are many page views of a page, so it stands in a dictionary, as title does. ClickHouse rewrites this column
-- of the parts that it has, in the background. All else changes with the merges to come.
ALTER TABLE events
    MODIFY COLUMN id UUID
        TTL if(source = 'live', toMonday(toDateTime(intDiv(entry_ms, 1000), 'UTC')) + 21, toDate('2149-06-06')),
    MODIFY COLUMN item LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN title LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN visitor UInt64 CODEC(ZSTD(1)),
    MODIFY COLUMN kind Enum8('guest' = 1, 'member' = 2, 'bot' = 3) CODEC(ZSTD(1)),
    MODIFY COLUMN bot LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN browser LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN system LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN country LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN referrer LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN agent LowCardinality(String) CODEC(ZSTD(1))
SETTINGS alter_sync = 0, materialize_ttl_after_modify = 0
