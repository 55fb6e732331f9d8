-- Takes a place, if nobody has it; else tells what was asked there and how far it is.
-- KEYS: head, frames, order, sizes. ARGV: mark, asked, milliseconds.
local there = redis.call('HMGET', KEYS[1], 'asked', 'state')
if there[1] then return there end
redis.call('HSET', KEYS[1], 'mark', ARGV[1], 'asked', ARGV[2], 'state', 'open')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[2])
return false
