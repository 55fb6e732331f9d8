-- Takes an amount from all accounts, or from none.
-- KEYS: holds, leases; then of each account: minutes, spent, held.
-- ARGV: seconds added to the clock, slice, slices, late, id, lease; requests, tokens, nanos, slots asked;
--       then of each account: four limits ('' is none), and the starts of its periods joined by spaces.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 + ARGV[1]
local length, slices, late = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local id, lease = ARGV[5], tonumber(ARGV[6])
local asked = {tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])}
local slice = math.floor(now / length)
local accounts = (#KEYS - 2) / 3

local function keep(key, seconds)
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, math.ceil(seconds)) end
end

for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - late)) do
  redis.call('HDEL', KEYS[1], ended)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - late)

local function minute_of(key)
  local requests, tokens, by_slice = 0, 0, {}
  local fields = redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    local number, kind = string.match(fields[at], '^(%d+)(%a)$')
    number = tonumber(number)
    if number <= slice - slices then
      redis.call('HDEL', key, fields[at])
    else
      local count = tonumber(fields[at + 1])
      local row = by_slice[number] or {0, 0}
      by_slice[number] = row
      if kind == 'r' then requests = requests + count; row[1] = count
      else tokens = tokens + count; row[2] = count end
    end
  end
  local leaving = {}
  for number = slice - slices + 1, slice do
    local row = by_slice[number]
    if row then
      leaving[#leaving + 1] = number; leaving[#leaving + 1] = row[1]; leaving[#leaving + 1] = row[2]
    end
  end
  return requests, tokens, leaving
end

local function period_of(starts)
  local begun, ends = '0', nil
  for start in string.gmatch(starts, '%S+') do
    if tonumber(start) <= now then begun = start elseif not ends then ends = tonumber(start) end
  end
  return begun, ends
end

local granted, standings, periods, endings = 1, {}, {}, {}
for a = 1, accounts do
  local minutes, spent, held = KEYS[3 * a], KEYS[3 * a + 1], KEYS[3 * a + 2]
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  local requests, tokens, leaving = minute_of(minutes)
  periods[a], endings[a] = period_of(ARGV[10 + 5 * a])
  local used = {requests, tokens, tonumber(redis.call('HGET', spent, periods[a]) or '0'), redis.call('ZCARD', held)}
  for kind = 1, 4 do
    local limit = tonumber(ARGV[5 + 5 * a + kind])
    if limit and asked[kind] > 0 and used[kind] + asked[kind] > limit then granted = 0 end
  end
  standings[a] = {used[1], used[2], used[3], used[4], leaving}
end
local again = redis.call('HEXISTS', KEYS[1], id) == 1  -- a connection that broke off is asked once more
if granted == 0 or again then return {again and 1 or 0, tostring(now), standings} end

local record = {string.format('%d', slice), ARGV[7], ARGV[8], ARGV[9], ARGV[10]}
for a = 1, accounts do
  local minutes, spent, held = KEYS[3 * a], KEYS[3 * a + 1], KEYS[3 * a + 2]
  record[5 + a] = periods[a]
  if asked[1] > 0 then redis.call('HINCRBY', minutes, record[1] .. 'r', ARGV[7]) end
  if asked[2] > 0 then redis.call('HINCRBY', minutes, record[1] .. 't', ARGV[8]) end
  keep(minutes, length * slices + lease)
  local total = redis.call('HGET', spent, periods[a]) or '0'
  redis.call('DEL', spent)
  redis.call('HSET', spent, periods[a], total)
  redis.call('HINCRBY', spent, periods[a], ARGV[9])
  if endings[a] then redis.call('EXPIRE', spent, math.ceil(endings[a] - now + lease)) end
  for place = 1, asked[4] do redis.call('ZADD', held, now + lease, place .. ':' .. id) end
  keep(held, lease)
  standings[a] = {standings[a][1] + asked[1], standings[a][2] + asked[2],
                  standings[a][3] + asked[3], standings[a][4] + asked[4], {}}
end
redis.call('HSET', KEYS[1], id, table.concat(record, ' '))
redis.call('ZADD', KEYS[2], now + lease, id)
keep(KEYS[1], lease + late)
keep(KEYS[2], lease + late)
return {1, tostring(now), standings}
