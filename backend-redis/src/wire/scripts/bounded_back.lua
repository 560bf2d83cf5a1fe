-- Counts entries of a stream backwards, and returns none of their fields.
--
-- KEYS[1]: stream. ARGV: id of the first entry at the latest; maximum number of entries.
--
-- Returns the number of entries, the bytes of their texts, the oldest of them without its fields or
-- false, and the length of the stream.
local key, stop = KEYS[1], ARGV[1]
local found, bytes, oldest = 0, 0, false
while found < tonumber(ARGV[2]) do
  local row = redis.call('XREVRANGE', key, stop, '-', 'COUNT', 1)[1]
  if not row then
    break
  end
  found = found + 1
  bytes = bytes + #row[1]
  for _, text in ipairs(row[2]) do
    bytes = bytes + #text
  end
  oldest = {row[1], {}}
  stop = '(' .. row[1]
end
return {found, bytes, oldest, redis.call('XLEN', key)}
