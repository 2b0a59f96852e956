-- An insert answers once its part is on disk: the counter deletes the events from Redis after it.
-- ClickHouse syncs its log of deduplication tokens only where that log is rotated. After a power cut it may not know a
-- batch that was inserted and not yet applied: one more reason why the counter looks up what stands.
ALTER TABLE events MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE traffic_hourly MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE breakdown_daily MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE items MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1
