-- Reclaims idle pending entries of a group, one page of them. Entries that were delivered too often
-- go to a dead-letter stream instead.
--
-- It reads 100 pending entries and no more: XPENDING with IDLE would read all of them in one call
-- to find none. Which entries this consumer received through the same subscription follows from
-- time: the first step, which is sent before the subscription's first read, returns Redis's time,
-- and the consumer's own entries that were delivered since then are left alone. So nobody keeps a
-- list of ids.
--
-- KEYS[1]  the stream
-- KEYS[2]  the dead-letter stream, if there is one
-- ARGV[1]  group
-- ARGV[2]  consumer that reclaims
-- ARGV[3]  cursor: the id after which this page begins
-- ARGV[4]  shortest idle time in milliseconds
-- ARGV[5]  most entries to reclaim
-- ARGV[6]  page: most pending entries to read
-- ARGV[7]  time of the first step in milliseconds, or "" in the first step
-- ARGV[8]  most fields that are copied to the dead-letter stream
-- With a dead-letter stream also:
-- ARGV[9]  deliveries from which an entry is a dead letter
-- ARGV[10] the reason
-- ARGV[11…16] names of the fields that describe a dead letter
--
-- Returns the reclaimed entries, the next cursor, and the time of the first step.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local min_idle, count, page = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local rows = redis.call('XPENDING', stream, group, '(' .. ARGV[3], '+', page)

-- Read after the rows, so that no delivery seems older than it is.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(ARGV[7]) or now

local function move_to_dead_letters(id, holder, deliveries)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then
    local fields = entry[2]
    if #fields > 2 * tonumber(ARGV[8]) then fields = {} end
    local values = {ARGV[10], stream, group, holder, id, string.format('%.0f', deliveries)}
    for i, value in ipairs(values) do
      fields[#fields + 1] = ARGV[10 + i]
      fields[#fields + 1] = value
    end
    redis.call('XADD', KEYS[2], '*', unpack(fields))
  end
  redis.call('XACK', stream, group, id)
end

local ids, cursor = {}, '0-0'
for i, row in ipairs(rows) do
  local id, holder, idle, deliveries = row[1], row[2], row[3], row[4]
  if idle >= min_idle and (holder ~= consumer or now - idle < since) then
    if KEYS[2] and deliveries >= tonumber(ARGV[9]) then
      move_to_dead_letters(id, holder, deliveries)
    else
      ids[#ids + 1] = id
    end
  end
  if i == page or #ids == count then
    cursor = id
    break
  end
end

-- Claims last: an error above must not leave entries claimed that are not returned.
local entries = {}
if #ids > 0 then entries = redis.call('XCLAIM', stream, group, consumer, min_idle, unpack(ids)) end
return {entries, cursor, string.format('%.0f', since)}
