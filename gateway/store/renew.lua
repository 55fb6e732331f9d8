-- Gives a reservation that is not over more time.
-- KEYS: as in reserve. ARGV: seconds added to the clock, id, lease, late.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 + ARGV[1]
local id, lease, late = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local until_ = redis.call('ZSCORE', KEYS[2], id)
local record = redis.call('HGET', KEYS[1], id)
if not until_ or not record or tonumber(until_) <= now then return 0 end

local function keep(key, seconds)
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, math.ceil(seconds)) end
end

local parts = {}
for part in string.gmatch(record, '%S+') do parts[#parts + 1] = part end
redis.call('ZADD', KEYS[2], 'XX', now + lease, id)
keep(KEYS[1], lease + late)
keep(KEYS[2], lease + late)
for a = 1, (#KEYS - 2) / 3 do
  local held = KEYS[3 * a + 2]
  for place = 1, tonumber(parts[5]) do redis.call('ZADD', held, 'XX', now + lease, place .. ':' .. id) end
  keep(held, lease)
end
return 1
