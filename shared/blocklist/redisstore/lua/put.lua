-- Turns one chunk of offences into entries. Package blocklist's Apply says the same
-- in Go; the tests hold the two against each other.
--
-- KEYS 1 epoch  2 generation  3 size  4 expiry  5 ticket  6 unannounced,
--      then the past of each offence, then the entry of each
-- ARGV 1 now in ms  2 how long a past is kept in ms  3 the longest term in s
--      4 the most strikes that count  5 length of the prefix of an entry's key
--      6 this chunk's number  7 most rules  8 most countries  9 most accounts,
--      then for each offence: the time it counts from in s, its term in s (negative:
--      an operator's, never doubled), and its entry as JSON up to the fields that
--      are worked out here, without the closing brace
-- returns {added, extended, unchanged, released, expired}
--
-- A new entry, by far the most frequent case, is put together without decoding any
-- JSON. Every key that is used is an element of KEYS.
if redis.call('EXISTS', KEYS[1], KEYS[5]) ~= 2 then
  return redis.error_reply('DAMAGED the list went away while it was written')
end

local now, past_ms, max_term, max_strikes = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local cut = tonumber(ARGV[5]) + 1
local format, find, sub = string.format, string.find, string.sub

local function whole(n) return format('%.0f', n) end

-- second writes a point in time; most of a chunk are the same few. (Numbers of a
-- middling size must not be keys like this: miniredis' Lua would make a list as long
-- as the number.)
local seconds = {}
local function second(n)
  local text = seconds[n]
  if not text then
    text = whole(n)
    seconds[n] = text
  end
  return text
end

local function higher(a, b)
  if not a then return b end
  if b and b > a then return b end
  return a
end

-- earlier ignores nil, which stands for an unknown time.
local function earlier(a, b)
  if not a then return b end
  if b and b < a then return b end
  return a
end

local rank = { low = 0, medium = 1, high = 2, critical = 3 }

local function union(a, b, most)
  if not a and not b then return nil end
  local seen, all = {}, {}
  for _, list in ipairs({ a or {}, b or {} }) do
    for _, word in ipairs(list) do
      if not seen[word] then
        seen[word] = true
        all[#all + 1] = word
      end
    end
  end
  table.sort(all)
  for i = #all, most + 1, -1 do all[i] = nil end
  return all
end

local function words(list)
  local out = {}
  for i, word in ipairs(list) do out[i] = cjson.encode(word) end
  return '[' .. table.concat(out, ',') .. ']'
end

-- encode writes an entry with its fields in the order that Go writes them.
local function encode(e)
  local out = { '{"v":1,"source":"' .. e.source .. '","severity":"' .. e.severity .. '"' }
  local function put(name, text) out[#out + 1] = ',"' .. name .. '":' .. text end
  if e.rules and #e.rules > 0 then put('rules', words(e.rules)) end
  if e.reason then put('reason', cjson.encode(e.reason)) end
  if e.count then put('count', whole(e.count)) end
  if e.first_seen then put('first_seen', whole(e.first_seen)) end
  if e.last_seen then put('last_seen', whole(e.last_seen)) end
  if e.countries and #e.countries > 0 then put('countries', words(e.countries)) end
  if e.accounts and #e.accounts > 0 then put('accounts', words(e.accounts)) end
  if e.addresses then put('addresses', whole(e.addresses)) end
  put('since', whole(e.since))
  put('expires_at', whole(e.expires_at))
  put('strikes', whole(e.strikes))
  out[#out + 1] = '}'
  return table.concat(out)
end

local function merge(old, e)
  if e.source == 'operator' then old.source = 'operator' end
  if e.reason and (not old.reason or e.source == 'operator') then old.reason = e.reason end
  if (rank[e.severity] or 0) > (rank[old.severity] or 0) then old.severity = e.severity end
  old.count = higher(old.count, e.count)
  old.addresses = higher(old.addresses, e.addresses)
  old.first_seen = earlier(old.first_seen, e.first_seen)
  old.last_seen = higher(old.last_seen, e.last_seen)
  old.since = earlier(old.since, e.since)
  old.expires_at = higher(old.expires_at, e.expires_at)
  old.rules = union(old.rules, e.rules, tonumber(ARGV[7]))
  old.countries = union(old.countries, e.countries, tonumber(ARGV[8]))
  old.accounts = union(old.accounts, e.accounts, tonumber(ARGV[9]))
  return old
end

-- read decodes an active entry. What cannot be read is written anew; its past still
-- knows the strikes.
local function read(text)
  if not text then return nil end
  local ok, e = pcall(cjson.decode, text)
  if ok and type(e) == 'table' and e.expires_at and e.since and e.strikes and e.source and e.severity
    and e.expires_at * 1000 > now then
    return e
  end
  return nil
end

local function lasts(at, term, strikes)
  if term < 0 then return at - term end
  for _ = 2, math.min(strikes, max_strikes) do
    term = math.min(term * 2, max_term)
  end
  return at + term
end

local function value(head, at_text, expires, strikes)
  return head .. ',"since":' .. at_text .. ',"expires_at":' .. second(expires) .. ',"strikes":' .. whole(strikes) .. '}'
end

local ttls = {}
local function ttl(expires)
  local text = ttls[expires]
  if not text then
    text = whole(math.max(expires * 1000 - now, 1000))
    ttls[expires] = text
  end
  return text
end

local added, extended, unchanged, forgiven, expired = 0, 0, 0, 0, 0
local offences = (#KEYS - 6) / 2

-- Whoever was ever blocked or unblocked, as far as anybody remembers, has a place in
-- the index, if only one in the past. So a block of offences whose places are all new
-- is about newcomers, and needs no look at what is there: that is half the work.
for first = 1, offences, 100 do
  local last = math.min(first + 99, offences)
  local places, ends_first, placed = {}, {}, {}
  for i = first, last do
    local expires = lasts(tonumber(ARGV[3 * i + 7]), tonumber(ARGV[3 * i + 8]), 1)
    local member = sub(KEYS[i + 6 + offences], cut)
    -- One that stands twice gets the place of its first offence.
    if expires * 1000 > now and not placed[member] then
      ends_first[i], placed[member] = expires, true
      places[#places + 1] = second(expires)
      places[#places + 1] = member
    end
  end
  local newcomers = #places > 0 and redis.call('ZADD', KEYS[4], 'NX', unpack(places)) == last - first + 1
  places = {}
  for i = first, last do
    local past_key, entry_key = KEYS[i + 6], KEYS[i + 6 + offences]
    local at_text, term, head = ARGV[3 * i + 7], tonumber(ARGV[3 * i + 8]), ARGV[3 * i + 9]
    -- NX, because an index that was lost and begun anew knows nobody.
    if newcomers and redis.call('SET', entry_key, value(head, at_text, ends_first[i], 1), 'PX', ttl(ends_first[i]), 'NX') then
      added = added + 1
    else
      local at, member = tonumber(at_text), sub(entry_key, cut)
      local strikes_before, ends, released = 0, 0, 0
      local past, text = redis.call('GET', past_key), redis.call('GET', entry_key)
      if past then
        local _, _, s, u, r = find(past, '^(%d+) (%d+) (%d+)$')
        if s then strikes_before, ends, released = tonumber(s), tonumber(u), tonumber(r) end
      else
        -- A first strike is remembered by its place alone. If the place is from just
        -- above, this counts as the same block and so as the first strike, too.
        local score = redis.call('ZSCORE', KEYS[4], member)
        if score then strikes_before, ends = 1, tonumber(score) end
      end
      if at < released or (at == released and term > 0) then
        forgiven = forgiven + 1
      else
        local old = read(text)
        local strikes = strikes_before + 1
        if old then
          strikes = old.strikes
        elseif strikes_before > 0 and at < ends then
          strikes = strikes_before
        end
        local expires = lasts(at, term, strikes)
        if expires * 1000 <= now then
          expired = expired + 1
        else
          local new = value(head, at_text, expires, strikes)
          if not old then
            added = added + 1
          else
            if expires > old.expires_at then
              extended = extended + 1
            else
              unchanged = unchanged + 1
            end
            local merged = merge(old, cjson.decode(new))
            expires, new = merged.expires_at, encode(merged)
          end
          if new ~= text then redis.call('SET', entry_key, new, 'PX', ttl(expires)) end
          places[#places + 1] = second(expires)
          places[#places + 1] = member
          local new_past = whole(strikes) .. ' ' .. whole(math.max(ends, expires)) .. ' ' .. whole(released)
          if new_past ~= past and (past or strikes > 1) then
            redis.call('SET', past_key, new_past, 'PX', past_ms)
          end
        end
      end
    end
  end
  if #places > 0 then redis.call('ZADD', KEYS[4], unpack(places)) end
end

redis.call('HSET', KEYS[5], ARGV[6], '1')
redis.call('SET', KEYS[3], whole(redis.call('ZCARD', KEYS[4])))
if added + extended > 0 then
  redis.call('INCR', KEYS[2])
  redis.call('HINCRBY', KEYS[6], 'added', whole(added))
  redis.call('HINCRBY', KEYS[6], 'extended', whole(extended))
end
return { added, extended, unchanged, forgiven, expired }
