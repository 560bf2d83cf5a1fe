-- Returns the id of the first entry after a position, and the bytes of its texts; or false.
--
-- KEYS[1]: stream. ARGV[1]: position.
local row = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)[1]
if not row then
  return false
end
local bytes = #row[1]
for _, text in ipairs(row[2]) do
  bytes = bytes + #text
end
return {row[1], bytes}
