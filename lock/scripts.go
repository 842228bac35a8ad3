package lock

import "github.com/relay-platform/redis/conn"

// acquireScript gives the same token the same grant, so that it can be sent again
// after a lost reply. It returns whether it was granted, and the fence. Fences
// stay below 2^53, up to where a script's numbers are exact.
var acquireScript = conn.NewScript("lock.acquire", `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
	return {0, 0}
end
local last = tonumber(redis.call('GET', KEYS[2]))
if held and last then
	return {1, last}
end
local t = redis.call('TIME')
local fence = math.max((last or 0) + 1, t[1] * 1000000 + t[2])
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', 86400000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, fence}
`, conn.ScriptRetryable)

// releaseScript deletes the lock of that token and no other. It is not
// ScriptRetryable: the second time it would say that the lock was not held.
var releaseScript = conn.NewScript("lock.release", `
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0
`)
