-- About how many rows a shard has, and how many have left by age.
SELECT (SELECT count() FROM events WHERE shard = {shard:UInt16}),
       (SELECT sum(rows) FROM expired FINAL WHERE shard = {shard:UInt16})
