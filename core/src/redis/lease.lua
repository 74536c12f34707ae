-- The pool of one budget: leases tokens to nodes. The tokens in the pool and those that nodes hold never
-- exceed the capacity together. The script runs as a whole, or not at all.
--
-- KEYS[1]  the budget: a hash of the fields units, at, capacity, by, run, seq, and lease:<node> with
--          "tokens until seq" for each node that holds some
-- ARGV     node, now, capacity, run, seq, units, restore, granted, spent, want, remembered_ms, kept_ms
-- answers  {1, granted, units, reserved, at, run}, or {0} to a report that comes after a later one
--
-- The rules are those of core/src/policy/token_bucket.rs: a token is 60000 units, a millisecond earns `capacity`
-- units. All figures are whole and below 2^53, so that Lua's numbers hold them.
local TOKEN = 60000
local MINUTE = 60000

local function whole(text, low, high)
  local number = tonumber(text)
  -- Not a number is not equal to itself, and fails each comparison.
  if number and number >= low and number <= high and number == math.floor(number) then return number end
  return nil
end

local function text(number) return string.format('%.0f', number) end

local key, node = KEYS[1], ARGV[1]
local now, capacity = tonumber(ARGV[2]), tonumber(ARGV[3])
local run, seq = ARGV[4], tonumber(ARGV[5])
local claimed, restore = tonumber(ARGV[6]), tonumber(ARGV[7])
local granted, spent, want = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local remembered, kept = tonumber(ARGV[11]), ARGV[12]

local kind = redis.call('TYPE', key)['ok']
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', key) end

local found, leases = {}, {}
local flat = redis.call('HGETALL', key)
for i = 1, #flat, 2 do
  local name = flat[i]
  if string.sub(name, 1, 6) == 'lease:' then leases[name] = flat[i + 1] else found[name] = flat[i + 1] end
end

local old = whole(found.capacity, 0, 4294967295)
local units = old and whole(found.units, 0, old * TOKEN)
-- A clock that is a minute ahead of ours is broken, and would stop the refill.
local at = whole(found.at, 0, now + MINUTE)
local by, last = found.by, whole(found.seq, 0, 2 ^ 53)
local known = units and at and by and last and found.run
local time = known and math.max(at, now) or now

local mine, reserved = nil, 0
for name, value in pairs(leases) do
  local t, u, s = string.match(value, '^(%d+) (%d+) (%d+)$')
  local tokens, till, heard = whole(t, 0, 4294967295), whole(u, 0, time + MINUTE), whole(s, 0, 2 ^ 53)
  if not tokens or not till or not heard or till <= time then
    -- The lease has expired and its tokens count as spent, or the value is not a lease.
    redis.call('HDEL', key, name)
  elseif name == 'lease:' .. node then
    if seq <= heard then return {0} end
    mine = tokens
  else
    reserved = reserved + tokens
  end
end
if known and by == node and seq <= last then return {0} end

if not known then
  units = restore
  run = text(seq)
elseif by == node and run == found.run and run ~= '0' then
  -- No other node came since: the node's copy of the whole bucket is exact.
  units = claimed
else
  local ceiling = math.max(0, (capacity - reserved - (mine or 0)) * TOKEN)
  units = math.min(units + math.min(time - at, MINUTE) * old, ceiling)
  if mine then
    units = units + (mine - spent) * TOKEN
  else
    -- Its granted tokens count as spent already; tokens that it spent beyond them do not.
    units = units + math.min(0, granted - spent) * TOKEN
  end
  run = text(seq)
end
units = math.max(0, math.min(units, (capacity - reserved) * TOKEN))

-- At most a quarter of the tokens left, so that other nodes get some too.
local left = math.floor(units / TOKEN)
local given = 0
if want > 0 and left > 0 then given = math.min(want, math.max(1, math.floor(left / 4))) end
units = units - given * TOKEN

redis.call('HSET', key, 'units', text(units), 'at', text(time), 'capacity', text(capacity),
  'by', node, 'run', run, 'seq', text(seq))
if given > 0 then
  redis.call('HSET', key, 'lease:' .. node, text(given) .. ' ' .. text(time + remembered) .. ' ' .. text(seq))
else
  redis.call('HDEL', key, 'lease:' .. node)
end
redis.call('PEXPIRE', key, kept)
return {1, given, units, reserved * TOKEN, time, tonumber(run)}
