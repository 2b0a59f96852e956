-- The disk that has the least room of those that ClickHouse writes to: free and in all, in bytes.
SELECT free_space, total_space
FROM system.disks
ORDER BY free_space
LIMIT 1
