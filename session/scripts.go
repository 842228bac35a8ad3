package session

import (
	"strconv"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Times are milliseconds by the server's clock. The key's TTL is the only thing
// that ends a session: the smaller of the idle time-out and what is left of the
// lifetime. A server whose clock steps moves both.

// createScript can be sent again after a lost reply: it finds its own record.
var createScript = conn.NewScript("session.create", `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 0 then
	redis.call('HSET', KEYS[1], 'user', ARGV[1], 'data', ARGV[2],
		'created', string.format('%.0f', now), 'deadline', string.format('%.0f', now + ARGV[4]))
	redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {tonumber(redis.call('HGET', KEYS[1], 'created')), tonumber(redis.call('HGET', KEYS[1], 'deadline')), redis.call('PTTL', KEYS[1])}
`, conn.ScriptRetryable)

var getScript = conn.NewScript("session.get", `
local f = redis.call('HMGET', KEYS[1], 'user', 'data', 'created', 'deadline')
if not f[1] then
	return {}
end
return {f[1], f[2], f[3], f[4], tostring(redis.call('PTTL', KEYS[1]))}
`, conn.ScriptReadOnly)

// touchScript can be sent again: the second time sets the same end, a little later.
var touchScript = conn.NewScript("session.touch", `
local deadline = tonumber(redis.call('HGET', KEYS[1], 'deadline'))
if not deadline then
	return 0
end
local t = redis.call('TIME')
local left = deadline - (t[1] * 1000 + math.floor(t[2] / 1000))
if left <= 0 then
	redis.call('DEL', KEYS[1])
	return 0
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(left, tonumber(ARGV[1]))))
return 1
`, conn.ScriptRetryable)

// ms is a duration for a script.
func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
