-- KEYS 1 lease   ARGV 1 its holder  2 time to live in ms   returns 1 if it was the holder's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
