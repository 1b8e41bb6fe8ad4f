-- Writes one part of a table. One that already stays for good is in use, and must not be given an end: the writer
-- may die before it switches the catalog.
-- KEYS: the part. ARGV: its bytes, how many milliseconds it stays.
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
