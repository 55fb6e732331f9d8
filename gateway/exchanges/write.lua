-- Adds frames to a place that is still the writer's, and makes room in its space: what was begun first goes.
-- KEYS: head, frames, order, sizes; all of a space have one hash tag. ARGV: mark, state, milliseconds, most, number,
-- frames...
if redis.call('HGET', KEYS[1], 'mark') ~= ARGV[1] then return 0 end
local more = 0
if ARGV[2] == 'long' then
  redis.call('DEL', KEYS[2])
  more = -tonumber(redis.call('HGET', KEYS[4], KEYS[1]) or 0)
end
local have = redis.call('LLEN', KEYS[2])
for at = 6 + math.max(0, have - tonumber(ARGV[5])), #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[at])
  more = more + #ARGV[at]
end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], 'NX', time[1] + time[2] / 1000000, KEYS[1])
redis.call('HINCRBY', KEYS[4], KEYS[1], more)
local size = redis.call('HINCRBY', KEYS[4], 'all', more)
while size > tonumber(ARGV[4]) do
  local oldest = redis.call('ZPOPMIN', KEYS[3])[1]
  if not oldest then break end
  size = redis.call('HINCRBY', KEYS[4], 'all', -tonumber(redis.call('HGET', KEYS[4], oldest) or 0))
  redis.call('HDEL', KEYS[4], oldest)
  redis.call('DEL', oldest, oldest .. ':frames')
end
for at = 3, 4 do
  redis.call('PEXPIRE', KEYS[at], math.max(redis.call('PTTL', KEYS[at]), tonumber(ARGV[3])))
end
return 1
