-- Names the commands of idempotent adds that the user may not run.
--
-- KEYS[1]: a key of the same kind as dedup windows; it is not touched.
--
-- Servers that cannot tell name none.
local key = KEYS[1]
local missing = {}
if redis.acl_check_cmd then
  local calls = {
    {'XADD', key, '*', 'f', 'v'},
    {'LINDEX', key, '-1'},
    {'LRANGE', key, '0', '0'},
    {'RPUSH', key, 'v'},
    {'LTRIM', key, '0', '0'},
    {'PEXPIRE', key, '1'},
  }
  for _, call in ipairs(calls) do
    -- A command that was renamed is an error.
    local is_known, is_allowed = pcall(redis.acl_check_cmd, unpack(call))
    if not (is_known and is_allowed) then
      missing[#missing + 1] = call[1]
    end
  end
end
return table.concat(missing, ', ')
