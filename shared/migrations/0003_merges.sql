-- What ClickHouse has merged it forgets at once or after 8 minutes (by kind and version), without having synced the new
-- part. What stands for a while can be taken back where a full disk broke the merge; the roll-ups can be made again from
-- the events. What does not stand any more need not be looked through at the next start.
ALTER TABLE events MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 60, cleanup_delay_period = 5, cleanup_delay_period_random_add = 1;
ALTER TABLE traffic_hourly MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 5, cleanup_delay_period = 5, cleanup_delay_period_random_add = 1;
ALTER TABLE breakdown_daily MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 5, cleanup_delay_period = 5, cleanup_delay_period_random_add = 1;
ALTER TABLE items MODIFY SETTING
    min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 5, cleanup_delay_period = 5, cleanup_delay_period_random_add = 1
