-- Hands over a part of what a consumer holds, and with the last part removes it.
--
-- KEYS: the stream. ARGV: group, consumer, heir, the most entries of a part.
-- Answers how many entries were handed over, and 1 if that was the last part.
local stream, group, consumer, heir, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local handed_over = 0
local rows = redis.call('XPENDING', stream, group, '-', '+', most, consumer)
for _, row in ipairs(rows) do
  -- An entry that was deleted is not pending any more behind this, and not claimed.
  local claimed = redis.call('XCLAIM', stream, group, heir, 0, row[1],
    'IDLE', row[3], 'RETRYCOUNT', row[4], 'JUSTID')
  handed_over = handed_over + #claimed
end
if #rows == tonumber(most) then return {handed_over, 0} end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return {handed_over, 1}
