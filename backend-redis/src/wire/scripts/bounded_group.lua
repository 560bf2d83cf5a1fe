-- Reports about the consumers of a group, unless it has too many.
--
-- Only XINFO GROUPS tells how many consumers a group has, and only XINFO STREAM how many groups a
-- stream has. Where an access list forbids them, nothing is bounded.
--
-- KEYS[1]: stream. ARGV: 'XPENDING' or 'XINFO'; group; most groups of the stream; most consumers of
-- the group; most bytes of their names.
--
-- Returns what XPENDING or XINFO CONSUMERS returns, or LIMIT.
local key, command, group = KEYS[1], ARGV[1], ARGV[2]
local max_groups, max_consumers = tonumber(ARGV[3]), tonumber(ARGV[4])

local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then
      return list[i + 1]
    end
  end
end

local function limit(what, most)
  local text = 'LIMIT the %s, and no more than %d are listed'
  return redis.error_reply(string.format(text, what, most))
end

local info = redis.pcall('XINFO', 'STREAM', key)
if not info.err then
  if field(info, 'groups') > max_groups then
    return limit('stream has ' .. field(info, 'groups') .. ' groups', max_groups)
  end
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  for _, of_group in ipairs(groups.err and {} or groups) do
    local consumers = field(of_group, 'consumers')
    if field(of_group, 'name') == group and consumers > max_consumers then
      return limit('group has ' .. consumers .. ' consumers', max_consumers)
    end
  end
end

local report, rows
if command == 'XPENDING' then
  report = redis.pcall('XPENDING', key, group)
  rows = not report.err and report[4] or {}
else
  report = redis.pcall('XINFO', 'CONSUMERS', key, group)
  rows = report.err and {} or report
end
local bytes = 0
for _, row in ipairs(rows) do
  bytes = bytes + #(command == 'XPENDING' and row[1] or field(row, 'name'))
end
if bytes > tonumber(ARGV[5]) then
  return limit('names of the consumers have ' .. bytes .. ' bytes', tonumber(ARGV[5]))
end
return report
