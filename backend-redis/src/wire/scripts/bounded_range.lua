-- Reads a page of a stream that is bounded in bytes.
--
-- KEYS[1]: stream. ARGV: position; maximum number of entries after it; maximum bytes of their
-- texts; '1' to return `XINFO STREAM`, '2' to return the ids of the first and the last entry instead,
-- or an empty list; '1' to return the first entry even if it is larger; ids to
-- look up.
--
-- Returns the info without the fields of its entries, or false; the entries from the position on,
-- the one at the position without its fields; whether the stream has more; and for each id to look
-- up the id alone, or an empty list if the stream lacks it.
local key, position = KEYS[1], ARGV[1]
local count, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local info = false
if ARGV[4] == '1' then
  info = redis.pcall('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    local entry = info[i + 1]
    if (info[i] == 'first-entry' or info[i] == 'last-entry') and entry then
      info[i + 1] = {entry[1], {}}
    end
  end
end
if ARGV[4] == '2' then
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  info = {first and first[1], last and last[1]}
end
local rows = {}
local at_position = redis.call('XRANGE', key, position, position)[1]
if at_position then
  rows[1] = {at_position[1], {}}
end
local looked_up = {}
for i = 6, #ARGV do
  local entry = redis.call('XRANGE', key, ARGV[i], ARGV[i])[1]
  looked_up[i - 5] = {entry and entry[1]}
end
local found, bytes = 0, 0
while true do
  local next = redis.pcall('XRANGE', key, '(' .. position, '+', 'COUNT', 1)
  local row = not next.err and next[1]
  if not row then
    return {info, rows, 0, looked_up}
  end
  bytes = bytes + #row[1]
  for _, text in ipairs(row[2]) do
    bytes = bytes + #text
  end
  local is_first = found == 0 and ARGV[5] == '1'
  if found == count or (bytes > max_bytes and not is_first) then
    return {info, rows, 1, looked_up}
  end
  found = found + 1
  rows[#rows + 1] = row
  position = row[1]
end
