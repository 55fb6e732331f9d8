-- Gives a place back, if it is still the writer's; without a mark, whoever's it is.
-- KEYS: head, frames, order, sizes. ARGV: mark.
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'mark') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('ZREM', KEYS[3], KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[4], 'all', -tonumber(redis.call('HGET', KEYS[4], KEYS[1]) or 0))
  redis.call('HDEL', KEYS[4], KEYS[1])
end
return 1
