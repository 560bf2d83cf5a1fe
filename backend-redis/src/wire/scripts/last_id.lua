-- Returns the last entry of a stream without its fields, which may be large.
--
-- KEYS[1]: stream.
local row = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return row and {{row[1], {}}} or {}
