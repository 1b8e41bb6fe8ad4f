-- KEYS 1 lease  2 fence   ARGV 1 nonce of the asking run  2 time to live in ms
-- returns the fencing number, 0 when another run holds the lease
local holder = redis.call('GET', KEYS[1])
if holder then
  -- Our own earlier call, whose answer got lost on the way.
  local _, _, nonce, token = string.find(holder, '^(%x+) (%d+)$')
  if nonce == ARGV[1] then return tonumber(token) end
  return 0
end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%.0f', token), 'PX', ARGV[2])
return token
