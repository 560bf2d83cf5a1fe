-- Adds entries of one producer, each once however often it is asked for.
--
-- KEYS[1]  the stream
-- KEYS[2]  what is remembered of the producer: a ring of 1,025 slots of 32 bytes. Slot n % 1025 holds, of
--          the add of number n, n / 1025 in 8 digits and the entry's id in 24. Behind the slot of the last
--          number there is one that says so: 8 digits, "=" and blanks. No other slot has a "=".
-- ARGV[1]  the number of the first add; those that follow count on
-- ARGV[2]  the greatest number before it that must have been added
-- ARGV[3]  for how many milliseconds from now it is remembered; negative if only a new ring needs that
-- ARGV[4]  the slot of the first add, if the one before it was the last
-- ARGV[5…] of each add how many arguments XADD has behind the key, then these
--
-- Gives ids, with blanks between; in place of an id "G": one before it is missing, "S": later ones were
-- added without it, "O": it is too long ago, "E": Redis refused it. Then a second value
-- says how.
local SLOTS, BYTES, NOTHING = 1025, 32, string.rep(' ', 23)
local stream, ring = KEYS[1], KEYS[2]
local first, after = tonumber(ARGV[1]), tonumber(ARGV[2])

local function place(number)
  return number % SLOTS * BYTES
end
local function round(number)
  return string.format('%08d', math.floor(number / SLOTS))
end

local last, known, given, fresh
local here = place(first)
if redis.call('GETRANGE', ring, here, here + BYTES - 1) == ARGV[4] then
  last = first - 1
else
  known = redis.call('GET', ring)
  local mark = known and string.find(known, '=', 1, true)
  if mark then
    local slot = (mark - 9) / BYTES
    last = tonumber(string.sub(known, mark - 8, mark - 1)) * SLOTS + slot - 1
  else
    last, fresh = 0, true
  end
end

local function look_up(number)
  if last - number >= SLOTS - 1 then
    return 'O'
  end
  local at = place(number)
  if known and string.sub(known, at + 1, at + 8) == round(number) then
    local id = string.match(string.sub(known, at + 9, at + BYTES), '^%S+')
    if id and id ~= '?' then
      return id
    end
    return id and 'O' or 'S'
  end
  return 'S'
end

local answers, slots, refused = {}, {}, nil
local begun, number, argument = nil, first, 5
while argument <= #ARGV do
  local count = tonumber(ARGV[argument])
  local answer = given
  if not answer and number <= last then
    answer = look_up(number)
  elseif not answer and number == first and after > last then
    given, answer = 'G', 'G'
  elseif not answer then
    local a, added = argument
    if count == 3 then
      added = redis.pcall('XADD', stream, ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
    elseif count == 6 then
      added = redis.pcall('XADD', stream, ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6])
    else
      added = redis.pcall('XADD', stream, unpack(ARGV, a + 1, a + count))
    end
    if type(added) == 'table' then
      refused, answer, given = added.err or 'ERR', 'E', 'G'
    else
      answer = added
      begun = begun or number
      slots[#slots + 1] = round(number) .. (#added <= 24 and added .. string.rep(' ', 24 - #added) or '?' .. NOTHING)
    end
  end
  answers[#answers + 1] = answer
  number, argument = number + 1, argument + count + 1
end

if begun then
  if known and begun > last + 1 then
    redis.call('SETRANGE', ring, place(last + 1), string.rep(' ', BYTES))
  end
  local next = begun + #slots
  slots[#slots + 1] = round(next) .. '=' .. NOTHING
  local at, fit = place(begun), SLOTS - begun % SLOTS
  if #slots <= fit then
    redis.call('SETRANGE', ring, at, table.concat(slots))
  else
    redis.call('SETRANGE', ring, at, table.concat(slots, '', 1, fit))
    redis.call('SETRANGE', ring, 0, table.concat(slots, '', fit + 1))
  end
  local remembered = tonumber(ARGV[3])
  if fresh or remembered > 0 then
    redis.call('PEXPIRE', ring, math.abs(remembered))
  end
end
if refused then
  return { table.concat(answers, ' '), refused }
end
return table.concat(answers, ' ')
