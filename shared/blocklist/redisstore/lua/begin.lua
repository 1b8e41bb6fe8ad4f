-- Opens a write: founds the list when nothing of ours is there, refuses when only
-- parts of it are, and draws the ticket without which no other script writes.
--
-- KEYS 1 epoch  2 generation  3 size  4 expiry  5 checkpoints  6 handoff  7 ticket  8 secret
-- ARGV 1 a new epoch, "" to found nothing  2 the ticket's time to live in ms
--      3 the secret that the writer goes by, "" if it needs none
-- returns the epoch
redis.call('DEL', KEYS[7])
local epoch = redis.call('GET', KEYS[1])
if epoch then
  local size = redis.call('GET', KEYS[3])
  if not size or redis.call('EXISTS', KEYS[2]) == 0 or redis.call('ZCARD', KEYS[4]) ~= tonumber(size) then
    return redis.error_reply('DAMAGED generation, size or expiry index do not fit the epoch')
  end
else
  -- An empty stream is no list: a consumer may have made it by asking.
  if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) > 0 or redis.call('XLEN', KEYS[6]) > 0 then
    return redis.error_reply('DAMAGED the epoch is missing but other keys of the list are there')
  end
  if ARGV[1] == '' then
    return redis.error_reply('NOEPOCH the list was never founded')
  end
  epoch = ARGV[1]
  redis.call('SET', KEYS[1], epoch)
  redis.call('SET', KEYS[2], '0')
  redis.call('SET', KEYS[3], '0')
end
-- A list from before there was a secret, or one that has lost it, takes the writer's.
if ARGV[3] ~= '' then
  local secret = redis.call('GET', KEYS[8])
  if not secret then
    redis.call('SET', KEYS[8], ARGV[3])
  elseif secret ~= ARGV[3] then
    return redis.error_reply('SECRET the list has another secret')
  end
end
redis.call('HSET', KEYS[7], 'begun', '1')
redis.call('PEXPIRE', KEYS[7], ARGV[2])
return epoch
