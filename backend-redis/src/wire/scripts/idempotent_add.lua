-- Adds entries of one producer to a stream, each one once however often it is repeated.
--
-- KEYS[1]  the stream
-- KEYS[2]  the dedup window: a list of records of the producer's last adds to the stream
-- ARGV[1]  MAXLEN, or "" for none
-- ARGV[2]  the number before that of the first add; the numbers of the others follow without a
--          break. Or that number, the number that must be stored before the first add (0 for none),
--          and flags: "F" if an unknown producer may be a forgotten one, "T" if the window's
--          time-to-live is due
-- ARGV[3]  how many adds there are, in one byte, and the number of the last
-- ARGV[4…] names and values
--
-- Constants that precede this text: TTL, the window's time-to-live in milliseconds; KEEP and MOST,
-- how many records trimming leaves and when it begins.
--
-- Numbers of adds have five bytes, the highest first. A record is of adds whose numbers and ids
-- follow each other: the id of the first, how many there are in one byte, and the number of the
-- last.
--
-- Returns one of:
--   the id of the first add: all were stored, and the ids of the others follow;
--   the ids of all adds, separated by blanks;
--   { one word per add, separated by blanks, the error of an add that Redis refused or "", the last
--     number that is stored }.
-- A word is the entry's id, or "G" if an earlier add is missing, "S" if later adds were stored
-- without this one, "O" if it is not remembered whether the add was stored, "E" if Redis refused
-- it.
local ARGV, redis, window = ARGV, redis, KEYS[2]
local call, byte, sub = redis.call, string.byte, string.sub
local count, size = byte(ARGV[3]), #ARGV
local width = (size - 3) / count
-- Adds at the beginning that are not new, and the answers to them.
local known, words = 0, nil
local expires = false

local newest = call('LINDEX', window, '-1')
if not newest or sub(newest, -5) ~= ARGV[2] then
  local function numbers(record)
    local last = struct.unpack('>I5', record, #record - 4)
    return last - byte(record, -6) + 1, last
  end

  local function look_up(first, last)
    local records, length = nil, 4
    repeat
      length = length * 8
      records = call('LRANGE', window, -length, -1)
    until #records < length or numbers(records[1]) <= first
    local at = 1
    local from, to = numbers(records[1])
    for number = first, last do
      while to < number do
        at = at + 1
        from, to = numbers(records[at])
      end
      local word = at == 1 and 'O' or 'S'
      if number >= from then
        word = sub(records[at], 1, -7)
        if number > from then
          local ms, seq = string.match(word, '(%d+)-(%d+)')
          word = string.format('%s-%.0f', ms, seq + number - from)
        end
      end
      words[#words + 1] = word
    end
  end

  local before, after, flags = struct.unpack('>I5', ARGV[2]), nil, ''
  if #ARGV[2] == 5 then
    after = before
  else
    after, flags = struct.unpack('>I5', ARGV[2], 6), sub(ARGV[2], 11)
  end
  local last = 0
  if newest then
    last = select(2, numbers(newest))
  end
  expires = not newest or string.find(flags, 'T', 1, true)
  if before >= last then
    local forgotten = not newest and string.find(flags, 'F', 1, true)
    if forgotten or after > last then
      return { string.rep(forgotten and 'O ' or 'G ', count), '', last }
    end
  else
    known, words = math.min(count, last - before), {}
    look_up(before + 1, before + known)
  end
end

-- The ids of new adds replace the arguments, from the fourth on.
local place, refused, id = 3, nil, nil
local stream, maxlen = KEYS[1], ARGV[1]
if count - known > 1 then
  local is_done, failure = pcall(function()
    local argument = 4 + known * width
    if width == 2 then
      for at = argument, size - 2, 2 do
        id = call('XADD', stream, '*', ARGV[at], ARGV[at + 1])
        place = place + 1
        ARGV[place] = id
      end
    else
      for at = argument, size - width, width do
        id = call('XADD', stream, '*', unpack(ARGV, at, at + width - 1))
        place = place + 1
        ARGV[place] = id
      end
    end
  end)
  refused = not is_done and (type(failure) == 'table' and failure.err or failure)
end
-- The last add trims for all.
if not refused and known < count then
  if maxlen == '' then
    id = redis.pcall('XADD', stream, '*', unpack(ARGV, size - width + 1))
  else
    id = redis.pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, size - width + 1))
  end
  if type(id) == 'table' then
    refused = id.err
  else
    place = place + 1
    ARGV[place] = id
  end
end

-- The usual case: all are new, and the ids have the same milliseconds, of 13 digits.
local first, length = ARGV[4], 0
local is_one_record = place == count + 3
  and (count == 1 or byte(first, 14) == 45 and sub(first, 1, 14) == sub(id, 1, 14))
  and #first < 30
if is_one_record then
  length = call('RPUSH', window, first .. ARGV[3])
elseif place > 3 then
  local records, from = {}, 4
  local number = struct.unpack('>I5', ARGV[2]) + known - 3
  while from <= place do
    local ms, seq = string.match(ARGV[from], '(%d+)-(%d+)')
    local to = from
    -- Numbers of Lua are exact up to 15 digits.
    while to < place and #seq < 15 and string.match(ARGV[to + 1], '%d+') == ms do
      to = to + 1
    end
    records[#records + 1] = ARGV[from] .. struct.pack('>BI5', to - from + 1, number + to)
    from = to + 1
  end
  length = call('RPUSH', window, unpack(records))
end
if length > MOST then
  call('LTRIM', window, -KEEP, -1)
end
if expires then
  call('PEXPIRE', window, TTL)
end

if is_one_record then
  return first
elseif not words and not refused then
  return table.concat(ARGV, ' ', 4, place)
end
words = words or {}
for at = 4, place do
  words[#words + 1] = ARGV[at]
end
local last = struct.unpack('>I5', ARGV[2]) + #words
if refused then
  words[#words + 1] = 'E'
  words[#words + 1] = string.rep('G ', count - #words)
end
return { table.concat(words, ' '), refused or '', last }
