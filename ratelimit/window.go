package ratelimit

import (
	_ "embed" // for the script
	"time"

	"github.com/relay-platform/redis/conn"
)

// steps is in how many parts a window is kept: the more, the less late a unit is
// free again (a part of the window), and the bigger the key.
const steps = 12

// consumeScript is not ScriptRetryable: run twice, it charges twice.
//
//go:embed consume.lua
var consumeSource string

var consumeScript = conn.NewScript("ratelimit.consume", consumeSource)

// stepMicros is the length of a step in microseconds. It is rounded up: a window
// that is a little longer keeps the promise for the one that was asked for.
func stepMicros(window time.Duration) int64 {
	const unit = steps * time.Microsecond
	return int64((window + unit - 1) / unit)
}
