-- What is in a place, with the frames from a number on.
-- KEYS: head, frames. ARGV: number.
local there = redis.call('HMGET', KEYS[1], 'asked', 'state')
if not there[1] then return false end
return {there[1], there[2], redis.call('LRANGE', KEYS[2], ARGV[1], -1)}
