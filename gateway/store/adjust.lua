-- Says what a reservation really takes; at its end frees its places.
-- KEYS: as in reserve. ARGV: seconds added to the clock, slice, slices, id, final (1 or 0); requests, tokens, nanos, slots.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 + ARGV[1]
local length, slices, id, final = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local slice = math.floor(now / length)
local record = redis.call('HGET', KEYS[1], id)
if not record then return 0 end

local before = {}
for part in string.gmatch(record, '%S+') do before[#before + 1] = part end
local taken = tonumber(before[1])

local function count(minutes, kind, more)
  if more > 0 then redis.call('HINCRBY', minutes, string.format('%d', slice) .. kind, more)
  elseif more < 0 and taken > slice - slices then redis.call('HINCRBY', minutes, before[1] .. kind, more) end
  if more > 0 and redis.call('TTL', minutes) < length * slices then redis.call('EXPIRE', minutes, length * slices) end
end

local now_taken = {before[1], ARGV[6], ARGV[7], ARGV[8], ARGV[9]}
for a = 1, (#KEYS - 2) / 3 do
  local minutes, spent, held = KEYS[3 * a], KEYS[3 * a + 1], KEYS[3 * a + 2]
  count(minutes, 'r', tonumber(ARGV[6]) - tonumber(before[2]))
  count(minutes, 't', tonumber(ARGV[7]) - tonumber(before[3]))
  if redis.call('HEXISTS', spent, before[5 + a]) == 1 then
    redis.call('HINCRBY', spent, before[5 + a], string.format('%.0f', tonumber(ARGV[8]) - tonumber(before[4])))
  end
  local left = final and 0 or tonumber(ARGV[9])
  for place = left + 1, tonumber(before[5]) do redis.call('ZREM', held, place .. ':' .. id) end
  now_taken[5 + a] = before[5 + a]
end
if final then
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
else
  redis.call('HSET', KEYS[1], id, table.concat(now_taken, ' '))
end
return 1
