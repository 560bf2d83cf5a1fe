-- Reads entries by their ids, up to a bound in bytes.
--
-- KEYS[1]: stream. ARGV: maximum bytes of the entries; the bytes that an entry and a field count
-- for beside their texts; the ids.
--
-- Returns the first of the entries, at least one. An entry that the stream lacks has no fields.
local room, entry_bytes, field_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rows = {}
for i = 4, #ARGV do
  local row = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] or {ARGV[i], {}}
  room = room - entry_bytes - field_bytes * #row[2] / 2
  for _, text in ipairs(row[2]) do
    room = room - #text
  end
  if room < 0 and #rows > 0 then
    break
  end
  rows[#rows + 1] = row
end
return rows
