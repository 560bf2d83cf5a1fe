-- Reads a page of a stream that is bounded in bytes, forwards or backwards.
--
-- KEYS[1]: stream. ARGV: 'XRANGE' or 'XREVRANGE'; where to start and to end; maximum number of
-- entries; bytes after which the page ends; bytes that its entries may not exceed; '1' to return
-- the first entry even if it exceeds them; the bytes that an entry and a field count for beside
-- their texts.
--
-- Returns the entries, whether there may be more that fit, and the id of the entry that does not
-- fit, or an empty text.
local command, start, stop = ARGV[1], ARGV[2], ARGV[3]
local count, page, room = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local entry_bytes, field_bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local rows, bytes = {}, 0
while #rows < count and bytes < page do
  local found = redis.pcall(command, KEYS[1], start, stop, 'COUNT', 1)
  if found.err then
    return found
  end
  local row = found[1]
  if not row then
    return {rows, 0, ''}
  end
  bytes = bytes + entry_bytes + field_bytes * #row[2] / 2
  for _, text in ipairs(row[2]) do
    bytes = bytes + #text
  end
  if bytes > room and (#rows > 0 or ARGV[7] ~= '1') then
    return {rows, 0, row[1]}
  end
  rows[#rows + 1] = row
  start = '(' .. row[1]
end
return {rows, 1, ''}
