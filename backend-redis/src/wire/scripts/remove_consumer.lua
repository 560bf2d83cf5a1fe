-- Transfers one page of a consumer's pending entries to a new owner. After the last page it removes
-- the consumer.
--
-- KEYS[1]  the stream
-- ARGV[1]  group
-- ARGV[2]  consumer to remove
-- ARGV[3]  new owner
-- ARGV[4]  most entries of a page
--
-- Returns how many entries were transferred, and 1 if the consumer was removed, else 0.
local stream, group, consumer, new_owner, page = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local transferred = 0
local rows = redis.call('XPENDING', stream, group, '-', '+', page, consumer)
for _, row in ipairs(rows) do
  -- XCLAIM keeps idle time and deliveries. For a deleted entry it returns nothing, and ends the
  -- entry's being pending.
  local claimed = redis.call('XCLAIM', stream, group, new_owner, 0, row[1],
    'IDLE', row[3], 'RETRYCOUNT', row[4], 'JUSTID')
  transferred = transferred + #claimed
end
if #rows == tonumber(page) then return {transferred, 0} end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return {transferred, 1}
