-- Reclaims idle pending entries of a group, one page of them. Entries that were delivered too often
-- go to a dead-letter stream instead.
--
-- It reads 100 pending entries and no more: XPENDING with IDLE would read all of them in one call
-- to find none. Which entries this consumer received through the same subscription follows from
-- time: the first step, which is sent before the subscription's first read, returns Redis's time,
-- and the consumer's own entries that were delivered since then are left alone. So nobody keeps a
-- list of ids.
--
-- Only entries that it returns count as delivered. So it reads each entry first, and stops before
-- one that does not fit. An entry that is too large by itself changes its owner (JUSTID), and is not
-- returned.
--
-- KEYS[1]  the stream
-- KEYS[2]  the dead-letter stream, if there is one
-- ARGV[1]  group
-- ARGV[2]  consumer that reclaims
-- ARGV[3]  cursor: the id after which this page begins
-- ARGV[4]  shortest idle time in milliseconds
-- ARGV[5]  most entries to return, with those that are too large
-- ARGV[6]  page: most pending entries to read
-- ARGV[7]  time of the first step in milliseconds, or "" in the first step
-- ARGV[8]  most fields that are copied to the dead-letter stream
-- ARGV[9]  most bytes of the entries to return; the first one may be larger
-- ARGV[10] most bytes of one entry
-- With a dead-letter stream also:
-- ARGV[11] deliveries from which an entry is a dead letter
-- ARGV[12] the reason
-- ARGV[13] the name of the stream in a dead letter
-- ARGV[14] about how many entries the dead-letter stream keeps, or "" for all
-- ARGV[15…20] names of the fields that describe a dead letter
--
-- Returns the reclaimed entries, the ids and sizes of those that are too large, the next cursor, the
-- time of the first step, and how many entries became dead letters.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local min_idle, count, page = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local rows = redis.call('XPENDING', stream, group, '(' .. ARGV[3], '+', page)

-- Read after the rows, so that no delivery seems older than it is.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(ARGV[7]) or now

local function move_to_dead_letters(entry, holder, deliveries)
  local id, fields = entry[1], entry[2]
  if #fields > 2 * tonumber(ARGV[8]) then fields = {} end
  local values = {ARGV[12], ARGV[13], group, holder, id, string.format('%.0f', deliveries)}
  for i, value in ipairs(values) do
    fields[#fields + 1] = ARGV[14 + i]
    fields[#fields + 1] = value
  end
  if ARGV[14] == '' then
    redis.call('XADD', KEYS[2], '*', unpack(fields))
  else
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[14], '*', unpack(fields))
  end
  redis.call('XACK', stream, group, id)
end

local function size(entry)
  local bytes = #entry[1]
  for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  return bytes
end

local max_bytes, max_entry_bytes = tonumber(ARGV[9]), tonumber(ARGV[10])
local entries, counts, skipped, bytes, cursor, before = {}, {}, {}, 0, '0-0', ARGV[3]
local dead = 0
for i, row in ipairs(rows) do
  local id, holder, idle, deliveries = row[1], row[2], row[3], row[4]
  if idle >= min_idle and (holder ~= consumer or now - idle < since) then
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if not entry then
      redis.call('XACK', stream, group, id)
    elseif KEYS[2] and deliveries >= tonumber(ARGV[11]) then
      move_to_dead_letters(entry, holder, deliveries)
      dead = dead + 1
    elseif size(entry) > max_entry_bytes then
      skipped[#skipped + 1] = {id, size(entry)}
    else
      bytes = bytes + size(entry)
      if bytes > max_bytes and #entries > 0 then
        cursor = before
        break
      end
      entries[#entries + 1] = entry
      counts[#entries] = string.format('%.0f', deliveries + 1)
    end
  end
  if i == page or #entries + #skipped == count then
    cursor = id
    break
  end
  before = id
end

-- Claims last: an error above must not leave entries claimed that are not returned.
for i, entry in ipairs(entries) do
  redis.call('XCLAIM', stream, group, consumer, min_idle, entry[1],
    'RETRYCOUNT', counts[i], 'JUSTID')
end
for _, entry in ipairs(skipped) do
  redis.call('XCLAIM', stream, group, consumer, min_idle, entry[1], 'JUSTID')
end
return {entries, skipped, cursor, string.format('%.0f', since), dead}
