-- The months of a shard's sites whose page views have left, and how many those were.
SELECT toString(site), toString(month), rows
FROM expired FINAL
WHERE shard = {shard:UInt16}
