-- One step of a round over the pending entries of a group.
--
-- KEYS: the stream, and the dead-letter stream if there is one.
-- ARGV: group, consumer, cursor, min idle ms, count, page, since ms or '', the most fields that go
-- along, then with a dead-letter stream the most deliveries, the reason and the six names.
-- Answers the entries that are the consumer's now, the next cursor, and since when that counts.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local min_idle, count, page = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local rows = redis.call('XPENDING', stream, group, '(' .. ARGV[3], '+', page)

-- Behind the rows, so that no delivery seems to be older than it is.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(ARGV[7]) or now

local function bury(id, holder, deliveries)
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
      bury(id, holder, deliveries)
    else
      ids[#ids + 1] = id
    end
  end
  if i == page or #ids == count then
    cursor = id
    break
  end
end

-- Last, so that nothing is claimed that an error keeps from being given.
local entries = {}
if #ids > 0 then entries = redis.call('XCLAIM', stream, group, consumer, min_idle, unpack(ids)) end
return {entries, cursor, string.format('%.0f', since)}
