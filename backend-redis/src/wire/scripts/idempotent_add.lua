-- Adds entries of one producer to a stream, each one once however often it is repeated.
--
-- KEYS[1]  the stream
-- KEYS[2]  the dedup window: a string that remembers the last adds of the producer to the stream
-- ARGV[1]  number of the first add; the numbers of the others follow without a break
-- ARGV[2]  number of the preceding add, which must be stored before the first one; 0 for none
-- ARGV[3]  time-to-live of the window in milliseconds; negative: set it only for a new window
-- ARGV[4]  the slot at the place of the first add, if the add before it was the last one
-- ARGV[5]  arguments per add: names and values
-- ARGV[6]  MAXLEN, or "" for none
-- ARGV[7…] names and values
--
-- The window has 1,025 slots of 32 bytes. Slot n % 1025 holds the add of number n: n / 1025 in 8
-- digits, and the id of its entry in 24 bytes, or "?" for a longer id. After the slot of the last
-- number there is a mark: 8 digits, "=" and blanks. No other slot has a "=".
--
-- Returns one of:
--   the slots of all adds, and the mark;
--   { the slots of the adds that were stored, the error of the next one };
--   { one word per add, separated by blanks, the error of an add that Redis refused or "", "" }.
-- A word is the entry's id, or "G" if an earlier add is missing, "S" if later adds were stored
-- without this one, "O" if the add is too old to be remembered, "E" if Redis refused it.
local SLOTS, BYTES, BLANK = 1025, 32, '                        '
local pcall, sub = redis.pcall, string.sub
local stream, window, width, maxlen = KEYS[1], KEYS[2], tonumber(ARGV[5]), ARGV[6]
local first, ttl = tonumber(ARGV[1]), tonumber(ARGV[3])
local first_slot = first % SLOTS

local function add(argument)
  local last_argument = argument + width - 1
  if width == 2 and maxlen ~= '' then
    return pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', ARGV[argument], ARGV[argument + 1])
  elseif width == 2 then
    return pcall('XADD', stream, '*', ARGV[argument], ARGV[argument + 1])
  elseif maxlen ~= '' then
    return pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, argument, last_argument))
  end
  return pcall('XADD', stream, '*', unpack(ARGV, argument, last_argument))
end

local function slot(lap, id)
  return lap .. (#id <= 24 and id .. sub(BLANK, #id + 1) or '?' .. sub(BLANK, 2))
end

local at_first = first_slot * BYTES
local is_next = redis.call('GETRANGE', window, at_first, at_first + BYTES - 1) == ARGV[4]

-- The usual case: every add is new, and their slots do not wrap around.
if is_next and first_slot + (#ARGV - 6) / width < SLOTS then
  local lap, slots, count, refused = sub(ARGV[4], 1, 8), {}, 0, nil
  for argument = 7, #ARGV, width do
    local id = add(argument)
    if type(id) == 'table' then
      refused = id.err
      break
    end
    count = count + 1
    slots[count] = lap .. id .. sub(BLANK, #id + 1)
  end
  if count > 0 then
    slots[count + 1] = lap .. '=' .. sub(BLANK, 2)
    local text = table.concat(slots)
    if #text == (count + 1) * BYTES then
      redis.call('SETRANGE', window, at_first, text)
      if ttl > 0 then
        redis.call('PEXPIRE', window, ttl)
      end
      if not refused then
        return text
      end
      return { sub(text, 1, count * BYTES), refused }
    end
    -- Some id is longer than 24 bytes: the stream's clock is far ahead.
    local answers = {}
    for place = 1, count do
      answers[place] = string.match(slots[place], '^%S+', 9)
      slots[place] = slot(lap, answers[place])
    end
    redis.call('SETRANGE', window, at_first, table.concat(slots))
    redis.call('PEXPIRE', window, math.abs(ttl))
    answers[#answers + 1] = refused and 'E'
    return { table.concat(answers, ' '), refused or '', '' }
  end
  return { '', refused }
end

local function lap_of(number)
  return string.format('%08d', math.floor(number / SLOTS))
end

local last, known, is_new = first - 1, nil, false
if not is_next then
  known = redis.call('GET', window)
  local mark = known and string.find(known, '=', 1, true)
  if mark then
    last = tonumber(sub(known, mark - 8, mark - 1)) * SLOTS + (mark - 9) / BYTES - 1
  else
    last, is_new = 0, true
  end
end

local function look_up(number)
  if last - number >= SLOTS - 1 then
    return 'O'
  end
  local at = number % SLOTS * BYTES
  if known and sub(known, at + 1, at + 8) == lap_of(number) then
    local id = string.match(sub(known, at + 9, at + BYTES), '^%S+') or 'S'
    return id == '?' and 'O' or id
  end
  return 'S'
end

local answers, slots, refused, rest_answer, first_added = {}, {}, nil, nil, nil
local number = first
for argument = 7, #ARGV, width do
  local answer = rest_answer
  if answer then
    -- An earlier add stops this one.
  elseif number <= last then
    answer = look_up(number)
  elseif number == first and tonumber(ARGV[2]) > last then
    rest_answer, answer = 'G', 'G'
  else
    answer = add(argument)
    if type(answer) == 'table' then
      refused, answer, rest_answer = answer.err, 'E', 'G'
    else
      first_added = first_added or number
      slots[#slots + 1] = slot(lap_of(number), answer)
    end
  end
  answers[#answers + 1] = answer
  number = number + 1
end

if first_added then
  if known and first_added > last + 1 then
    redis.call('SETRANGE', window, (last + 1) % SLOTS * BYTES, string.rep(' ', BYTES))
  end
  slots[#slots + 1] = lap_of(first_added + #slots) .. '=' .. sub(BLANK, 2)
  local at, slots_to_end = first_added % SLOTS, SLOTS - first_added % SLOTS
  local before_end = table.concat(slots, '', 1, math.min(slots_to_end, #slots))
  redis.call('SETRANGE', window, at * BYTES, before_end)
  if #slots > slots_to_end then
    redis.call('SETRANGE', window, 0, table.concat(slots, '', slots_to_end + 1))
  end
  if is_new or ttl > 0 then
    redis.call('PEXPIRE', window, math.abs(ttl))
  end
end
return { table.concat(answers, ' '), refused or '', '' }
