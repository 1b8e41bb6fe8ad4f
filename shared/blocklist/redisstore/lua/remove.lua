-- Takes one chunk of Indicators off the list and leaves a tombstone in their past.
-- Package blocklist's Forgive says the same in Go.
--
-- KEYS 1 epoch  2 generation  3 size  4 expiry  5 ticket  6 unannounced,
--      then for each Indicator: its entry, its past
-- ARGV 1 now in s  2 how long a past is kept in ms  3 length of the prefix of an
--      entry's key  4 this chunk's number  5 the cool-off in s
-- returns how many were active
if redis.call('EXISTS', KEYS[1], KEYS[5]) ~= 2 then
  return redis.error_reply('DAMAGED the list went away while it was written')
end
local now, cut, lasts = tonumber(ARGV[1]), tonumber(ARGV[3]) + 1, tonumber(ARGV[5])
local function whole(n) return string.format('%.0f', n) end

local removed = 0
for k = 7, #KEYS, 2 do
  local member = string.sub(KEYS[k], cut)
  local score = tonumber(redis.call('ZSCORE', KEYS[4], member) or nil)
  local active = redis.call('DEL', KEYS[k]) == 1 and score and score > now
  local strikes, ends, released, cool_off = 0, 0, 0, 0
  local past = redis.call('GET', KEYS[k + 1])
  if past then
    local _, _, s, u, r, c = string.find(past, '^(%d+) (%d+) (%d+) ?(%d*)$')
    if s then strikes, ends, released, cool_off = tonumber(s), tonumber(u), tonumber(r), tonumber(c) or 0 end
  elseif score then
    strikes, ends = 1, score
  end
  if active then
    removed = removed + 1
    strikes = math.max(strikes - 1, 0)
  end
  if lasts > 0 then cool_off = math.max(cool_off, now + lasts) end
  past = whole(strikes) .. ' ' .. whole(math.min(ends, now)) .. ' ' .. whole(math.max(released, now))
  -- Only where there is one: what an older program does not know, it takes for damage.
  if cool_off > 0 then past = past .. ' ' .. whole(cool_off) end
  redis.call('SET', KEYS[k + 1], past, 'PX', ARGV[2])
  -- Its place stays, a day in the past so that no reader's clock finds it active.
  redis.call('ZADD', KEYS[4], whole(now - 86400), member)
end

redis.call('HSET', KEYS[5], ARGV[4], '1')
redis.call('SET', KEYS[3], whole(redis.call('ZCARD', KEYS[4])))
if removed > 0 then
  redis.call('INCR', KEYS[2])
  redis.call('HINCRBY', KEYS[6], 'removed', whole(removed))
end
return removed
