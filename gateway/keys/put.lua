-- Puts a key in place of what was there before, and a record of that.
-- KEYS: keys, records. ARGV: name, before ('' is nothing), after, record.
local there = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if there ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('RPUSH', KEYS[2], ARGV[4])
return 1
