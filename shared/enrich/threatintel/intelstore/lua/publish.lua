-- Switches from one catalog to the next, or changes nothing.
-- KEYS: catalog, founded, then the chunks of the next catalog, then those that only the last one needs.
-- ARGV: the last catalog ("" for none), the next one, how many chunks the next one has, how many
-- milliseconds the others stay, what founded shall say.
local now = redis.call('GET', KEYS[1])
if now == false then
  now = ''
end
if now ~= ARGV[1] then
  return redis.error_reply('CONFLICT another run has switched meanwhile')
end
local chunks = tonumber(ARGV[3])
for i = 3, 2 + chunks do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    return redis.error_reply('MISSING a part of a table has gone')
  end
end
for i = 3 + chunks, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[4])
end
for i = 3, 2 + chunks do
  redis.call('PERSIST', KEYS[i])
end
redis.call('SET', KEYS[2], ARGV[5])
redis.call('SET', KEYS[1], ARGV[2])
return 1
