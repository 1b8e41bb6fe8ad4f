-- Turns one chunk of offences into entries. Package blocklist's Apply says the same
-- in Go; the tests hold the two against each other.
--
-- KEYS 1 epoch  2 generation  3 size  4 expiry  5 ticket  6 unannounced,
--      then the past of each offence, then the entry of each
-- ARGV 1 now in ms  2 how long a past is kept in ms  3 the longest term in s
--      4 the most strikes that count  5 length of the prefix of an entry's key
--      6 this chunk's number  7 most rules  8 most countries  9 most accounts
--      10 most tags  11 after how many s a strike is forgotten  12 what term times share
--      is divided by to be the jitter in s,
--      then for each offence, worked out as if it were a first strike: when it ends in
--      s, in how many ms that is ("": it is over by now), and its entry; and between
--      the two what another strike is worked out from: eight shares of jitter of two
--      bytes each, the time that it counts from in s, of twelve digits, and its term in s
--      (negative: an operator's, never doubled and without jitter)
-- returns {added, extended, upgraded, unchanged, released, expired}
--
-- A new entry, by far the most frequent case, comes ready made. Every key that is used
-- is an element of KEYS.
if redis.call('EXISTS', KEYS[1], KEYS[5]) ~= 2 then
  return redis.error_reply('DAMAGED the list went away while it was written')
end

local now, past_ms, max_term, max_strikes = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local cut = tonumber(ARGV[5]) + 1
local strike_decay, jitter_scale = tonumber(ARGV[11]), tonumber(ARGV[12])
local format, find, sub, byte, floor = string.format, string.find, string.sub, string.byte, math.floor

local function whole(n) return format('%.0f', n) end

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
  local out = { '{"v":' .. (e.challenge and '2' or '1') .. ',"source":"' .. e.source .. '","severity":"' .. e.severity .. '"' }
  local function put(name, text) out[#out + 1] = ',"' .. name .. '":' .. text end
  if e.challenge then put('challenge', 'true') end
  if e.score then put('score', whole(e.score)) end
  if e.tags and #e.tags > 0 then put('tags', words(e.tags)) end
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

-- sighted gives m what e has seen.
local function sighted(m, e)
  m.score = higher(m.score, e.score)
  m.count = higher(m.count, e.count)
  m.addresses = higher(m.addresses, e.addresses)
  m.first_seen = earlier(m.first_seen, e.first_seen)
  m.last_seen = higher(m.last_seen, e.last_seen)
  m.rules = union(m.rules, e.rules, tonumber(ARGV[7]))
  m.countries = union(m.countries, e.countries, tonumber(ARGV[8]))
  m.accounts = union(m.accounts, e.accounts, tonumber(ARGV[9]))
  m.tags = union(m.tags, e.tags, tonumber(ARGV[10]))
  return m
end

-- merge joins what is known with what came in; a block outranks a challenge.
local function merge(old, e)
  if e.challenge and not old.challenge then return sighted(old, e), 'unchanged' end
  if old.challenge and not e.challenge then return sighted(e, old), 'upgraded' end
  if e.source == 'operator' then old.source = 'operator' end
  if e.reason and (not old.reason or e.source == 'operator') then old.reason = e.reason end
  if (rank[e.severity] or 0) > (rank[old.severity] or 0) then old.severity = e.severity end
  old.since = earlier(old.since, e.since)
  local outcome = 'unchanged'
  if e.expires_at > old.expires_at then
    old.expires_at, outcome = e.expires_at, 'extended'
  end
  return sighted(old, e), outcome
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

-- lasts says until when the strikes-th block lasts.
local function lasts(at, term, shares, strikes)
  if term < 0 then return at - term end
  for _ = 2, math.min(strikes, max_strikes) do
    term = math.min(term * 2, max_term)
  end
  local i = 2 * ((strikes - 1) % 8) + 1
  local high, low = byte(shares, i, i + 1)
  return at + math.min(term + floor(term * (256 * high + low) / jitter_scale), max_term)
end

-- left returns how many strikes still count at a time that is not before their end.
local function left(strikes, ends, at)
  return math.max(0, strikes - floor((at - ends) / strike_decay))
end

-- value makes an entry of another strike from that of the first.
local tail = #',"since":,"expires_at":,"strikes":1}'
local function value(first, at, end_text, expires, strikes)
  if strikes == 1 then return first end
  local at_text = whole(at)
  return sub(first, 1, -(tail + #at_text + #end_text) - 1) .. ',"since":' .. at_text
    .. ',"expires_at":' .. whole(expires) .. ',"strikes":' .. whole(strikes) .. '}'
end

local function ttl(expires) return whole(math.max(expires * 1000 - now, 1000)) end

local added, extended, upgraded, unchanged, forgiven, expired = 0, 0, 0, 0, 0, 0
local offences = (#KEYS - 6) / 2

-- Whoever was ever blocked or unblocked, as far as anybody remembers, has a place in
-- the index, if only one in the past. So a block of offences whose places are all new
-- is about newcomers, and needs no look at what is there: that is half the work.
for first = 1, offences, 100 do
  local last = math.min(first + 99, offences)
  local places, placed = {}, {}
  for i = first, last do
    local a = 4 * i + 9
    local member = sub(KEYS[i + 6 + offences], cut)
    -- One that stands twice gets the place of its first offence.
    if ARGV[a + 1] ~= '' and not placed[member] then
      placed[member] = true
      places[#places + 1] = ARGV[a]
      places[#places + 1] = member
    end
  end
  local newcomers = #places > 0 and redis.call('ZADD', KEYS[4], 'NX', unpack(places)) == last - first + 1
  places = {}
  for i = first, last do
    local past_key, entry_key = KEYS[i + 6], KEYS[i + 6 + offences]
    local a = 4 * i + 9
    local end_text, first_value = ARGV[a], ARGV[a + 3]
    -- NX, because an index that was lost and begun anew knows nobody.
    if newcomers and redis.call('SET', entry_key, first_value, 'PX', ARGV[a + 1], 'NX') then
      added = added + 1
    else
      local from = ARGV[a + 2]
      local at, term, member = tonumber(sub(from, 17, 28)), tonumber(sub(from, 29)), sub(entry_key, cut)
      local strikes_before, ends, released, cool_off = 0, 0, 0, 0
      local past, text = redis.call('GET', past_key), redis.call('GET', entry_key)
      if past then
        local _, _, s, u, r, c = find(past, '^(%d+) (%d+) (%d+) ?(%d*)$')
        if s then strikes_before, ends, released, cool_off = tonumber(s), tonumber(u), tonumber(r), tonumber(c) or 0 end
      else
        -- A first strike is remembered by its place alone. If the place is from just
        -- above, this counts as the same block and so as the first strike, too.
        local score = redis.call('ZSCORE', KEYS[4], member)
        if score then strikes_before, ends = 1, tonumber(score) end
      end
      if at < released or (term > 0 and at <= math.max(released, cool_off)) then
        forgiven = forgiven + 1
      else
        local old = read(text)
        local strikes = strikes_before
        if old then
          strikes = old.strikes
        elseif strikes_before == 0 then
          strikes = 1
        elseif at >= ends then
          strikes = left(strikes_before, ends, at) + 1
        end
        local expires = lasts(at, term, from, strikes)
        if expires * 1000 <= now then
          expired = expired + 1
        else
          local new
          if not old then
            new = value(first_value, at, end_text, expires, strikes)
            added = added + 1
            ends = math.max(ends, expires)
          else
            local e = cjson.decode(first_value)
            e.expires_at, e.strikes = expires, strikes
            local merged, outcome = merge(old, e)
            expires, new = merged.expires_at, encode(merged)
            if outcome == 'upgraded' then
              upgraded, ends = upgraded + 1, expires
            else
              if outcome == 'extended' then
                extended = extended + 1
              else
                unchanged = unchanged + 1
              end
              ends = math.max(ends, expires)
            end
          end
          if new ~= text then redis.call('SET', entry_key, new, 'PX', ttl(expires)) end
          places[#places + 1] = whole(expires)
          places[#places + 1] = member
          if term < 0 and cool_off > at then cool_off = at end
          local new_past = whole(strikes) .. ' ' .. whole(ends) .. ' ' .. whole(released)
          if cool_off > 0 then new_past = new_past .. ' ' .. whole(cool_off) end
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
if added + extended + upgraded > 0 then
  redis.call('INCR', KEYS[2])
  redis.call('HINCRBY', KEYS[6], 'added', whole(added))
  redis.call('HINCRBY', KEYS[6], 'extended', whole(extended + upgraded))
end
return { added, extended, upgraded, unchanged, forgiven, expired }
