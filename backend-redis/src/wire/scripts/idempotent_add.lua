-- Adds entries of one producer, each once however often it is asked for.
--
-- KEYS[1]  the stream
-- KEYS[2]  what is remembered of the producer: a ring of 1,025 slots of 32 bytes. Slot n % 1025 holds, of
--          the add of number n, n / 1025 in 8 digits and the entry's id in 24, or "?" if it is longer. Behind the slot of the last
--          number there is one that says so: 8 digits, "=" and blanks. No other slot has a "=".
-- ARGV[1]  the number of the first add; those that follow count on
-- ARGV[2]  the greatest number before it that must have been added
-- ARGV[3]  for how many milliseconds from now it is remembered; negative if only a new ring needs that
-- ARGV[4]  the slot of the first add, if the one before it was the last
-- ARGV[5]  how many arguments the fields of each add are
-- ARGV[6]  MAXLEN, or "" for none
-- ARGV[7…] names and values
--
-- Gives one of three:
--   the slots of all adds, and one more;
--   { the slots of those that were added, why Redis refused the next };
--   { ids with blanks between, why Redis refused one of them or "", "" }, in place of an id "G" if one
--   before it is missing, "S" if later ones were added without it, "O" if it is too long ago, "E" if
--   Redis refused it.
local SLOTS, BYTES, BLANK = 1025, 32, '                        '
local pcall, sub = redis.pcall, string.sub
local stream, ring, width, maxlen = KEYS[1], KEYS[2], tonumber(ARGV[5]), ARGV[6]
local first, remembered = tonumber(ARGV[1]), tonumber(ARGV[3])
local here = first % SLOTS

local function add(argument)
  if width == 2 and maxlen ~= '' then
    return pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', ARGV[argument], ARGV[argument + 1])
  elseif width == 2 then
    return pcall('XADD', stream, '*', ARGV[argument], ARGV[argument + 1])
  elseif maxlen ~= '' then
    return pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, argument, argument + width - 1))
  end
  return pcall('XADD', stream, '*', unpack(ARGV, argument, argument + width - 1))
end

local function slot(round, id)
  return round .. (#id <= 24 and id .. sub(BLANK, #id + 1) or '?' .. sub(BLANK, 2))
end

local is_next = redis.call('GETRANGE', ring, here * BYTES, here * BYTES + BYTES - 1) == ARGV[4]

-- What usually comes: all new, in one round of the ring.
if is_next and here + (#ARGV - 6) / width < SLOTS then
  local round, slots, count, refused = sub(ARGV[4], 1, 8), {}, 0, nil
  for argument = 7, #ARGV, width do
    local id = add(argument)
    if type(id) == 'table' then
      refused = id.err
      break
    end
    count = count + 1
    slots[count] = round .. id .. sub(BLANK, #id + 1)
  end
  if count > 0 then
    slots[count + 1] = round .. '=' .. sub(BLANK, 2)
    local text = table.concat(slots)
    if #text == (count + 1) * BYTES then
      redis.call('SETRANGE', ring, here * BYTES, text)
      if remembered > 0 then
        redis.call('PEXPIRE', ring, remembered)
      end
      if not refused then
        return text
      end
      return { sub(text, 1, count * BYTES), refused }
    end
    -- The clock of this stream is far ahead: there are longer ids.
    local answers = {}
    for place = 1, count do
      answers[place] = string.match(slots[place], '^%S+', 9)
      slots[place] = slot(round, answers[place])
    end
    redis.call('SETRANGE', ring, here * BYTES, table.concat(slots))
    redis.call('PEXPIRE', ring, math.abs(remembered))
    answers[#answers + 1] = refused and 'E'
    return { table.concat(answers, ' '), refused or '', '' }
  end
  return { '', refused }
end

local function round_of(number)
  return string.format('%08d', math.floor(number / SLOTS))
end

local last, known, fresh = first - 1, nil, false
if not is_next then
  known = redis.call('GET', ring)
  local mark = known and string.find(known, '=', 1, true)
  if mark then
    last = tonumber(sub(known, mark - 8, mark - 1)) * SLOTS + (mark - 9) / BYTES - 1
  else
    last, fresh = 0, true
  end
end

local function look_up(number)
  if last - number >= SLOTS - 1 then
    return 'O'
  end
  local at = number % SLOTS * BYTES
  if known and sub(known, at + 1, at + 8) == round_of(number) then
    local id = string.match(sub(known, at + 9, at + BYTES), '^%S+') or 'S'
    return id == '?' and 'O' or id
  end
  return 'S'
end

local answers, slots, refused, rest, begun = {}, {}, nil, nil, nil
local number = first
for argument = 7, #ARGV, width do
  local answer = rest
  if answer then
    -- Nothing more is added.
  elseif number <= last then
    answer = look_up(number)
  elseif number == first and tonumber(ARGV[2]) > last then
    rest, answer = 'G', 'G'
  else
    answer = add(argument)
    if type(answer) == 'table' then
      refused, answer, rest = answer.err, 'E', 'G'
    else
      begun = begun or number
      slots[#slots + 1] = slot(round_of(number), answer)
    end
  end
  answers[#answers + 1] = answer
  number = number + 1
end

if begun then
  if known and begun > last + 1 then
    redis.call('SETRANGE', ring, (last + 1) % SLOTS * BYTES, string.rep(' ', BYTES))
  end
  slots[#slots + 1] = round_of(begun + #slots) .. '=' .. sub(BLANK, 2)
  local at, fit = begun % SLOTS, SLOTS - begun % SLOTS
  redis.call('SETRANGE', ring, at * BYTES, table.concat(slots, '', 1, math.min(fit, #slots)))
  if #slots > fit then
    redis.call('SETRANGE', ring, 0, table.concat(slots, '', fit + 1))
  end
  if fresh or remembered > 0 then
    redis.call('PEXPIRE', ring, math.abs(remembered))
  end
end
return { table.concat(answers, ' '), refused or '', '' }
