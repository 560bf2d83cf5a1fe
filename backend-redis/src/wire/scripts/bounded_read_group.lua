-- Delivers a group's next entries to a consumer, bounded in bytes.
--
-- The first entry tells where the group stands. So the sizes of those after it are known before
-- they are delivered.
--
-- KEYS[1]: stream. ARGV: group; consumer; maximum number of entries; bytes that they may not
-- exceed, unless there is only one; the bytes that an entry and a field count for beside their
-- texts.
--
-- Returns what XREADGROUP returns.
local key, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local count, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local entry_bytes, field_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])

local function deliver(number)
  return redis.pcall(
    'XREADGROUP', 'GROUP', group, consumer, 'COUNT', number, 'STREAMS', key, '>')
end

local function size(row)
  -- A deleted entry has no fields.
  local fields = row[2] or {}
  local bytes = entry_bytes + field_bytes * #fields / 2
  for _, text in ipairs(fields) do
    bytes = bytes + #text
  end
  return bytes
end

local found = deliver(1)
if not found or found.err then
  return found
end
local rows = found[1][2]
local position, largest = rows[1][1], size(rows[1])
room = room - largest
local more, is_end = 0, false
while not is_end and 1 + more < count do
  -- As many entries as fit if they are as large as those before.
  local chunk = math.max(1, math.min(64, count - 1 - more, math.floor(room / largest)))
  local next = redis.call('XREAD', 'COUNT', chunk, 'STREAMS', key, position)
  local following = next and next[1][2] or {}
  is_end = #following < chunk
  for _, row in ipairs(following) do
    local bytes = size(row)
    if bytes > room then
      is_end = true
      break
    end
    room, largest = room - bytes, math.max(largest, bytes)
    position, more = row[1], more + 1
  end
end
if more > 0 then
  for _, row in ipairs(deliver(more)[1][2]) do
    rows[#rows + 1] = row
  end
end
return found
