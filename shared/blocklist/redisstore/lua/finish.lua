-- Closes a write: only when every chunk is in does it move checkpoints, prune the
-- index and ring the bell.
--
-- KEYS 1 epoch  2 generation  3 size  4 expiry  5 ticket  6 unannounced
--      7 handoff  8 checkpoints
-- ARGV 1 the number of chunks  2 the second up to which places are forgotten  3 most to
--      prune  4 about how many messages the stream keeps  5 run,
--      then for each checkpoint: rule, time in s
-- returns the generation
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HLEN', KEYS[5]) ~= tonumber(ARGV[1]) + 1 then
  return redis.error_reply('INCOMPLETE not every part of the batch was written')
end
redis.call('DEL', KEYS[5])

for i = 6, #ARGV, 2 do
  local old = redis.call('HGET', KEYS[8], ARGV[i])
  if not old or tonumber(ARGV[i + 1]) > tonumber(old) then
    redis.call('HSET', KEYS[8], ARGV[i], ARGV[i + 1])
  end
end

-- Entries and pasts fall away by themselves, their places in the index do not.
local over = math.min(redis.call('ZCOUNT', KEYS[4], '-inf', ARGV[2]), tonumber(ARGV[3]))
if over > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, over - 1)
  redis.call('SET', KEYS[3], string.format('%.0f', redis.call('ZCARD', KEYS[4])))
end

local generation = redis.call('GET', KEYS[2])
-- Changes of a write that died before its end are announced by the next one.
local news = redis.call('HMGET', KEYS[6], 'added', 'extended', 'removed')
if news[1] or news[2] or news[3] then
  redis.call('DEL', KEYS[6])
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[4], '*', 'run', ARGV[5], 'generation', generation,
    'added', news[1] or '0', 'extended', news[2] or '0', 'removed', news[3] or '0')
end
return tonumber(generation)
