package redistest

import (
	"sync"
	"time"
)

// flow is what a valve does with the bytes that come to it.
type flow int

const (
	flowing   flow = iota
	holding        // keep them, and deliver them later, as TCP does by sending again
	resetting      // reset the connection
)

// A valve is one direction of one way through a proxy. All connections that take
// the way share it, and follow its changes at once.
type valve struct {
	mu      sync.Mutex
	flow    flow
	latency time.Duration
	rate    int       // bytes per second; 0 is no limit
	free    time.Time // when the bytes let through so far have passed, at rate
	changed chan struct{}
}

func newValve() *valve { return &valve{changed: make(chan struct{})} }

// set changes the valve and tells those who wait at it.
func (v *valve) set(change func(*valve)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *valve) state() (flow, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.flow, v.changed
}

// plain reports whether the valve neither holds nor delays.
func (v *valve) plain() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.flow == flowing && v.latency == 0 && v.rate == 0
}

// pass waits until n bytes that arrived at a time may go on. It returns false if
// the connection is to be reset, or done ended the wait.
func (v *valve) pass(arrived time.Time, n int, done <-chan struct{}) bool {
	for charged := false; ; {
		v.mu.Lock()
		state, changed := v.flow, v.changed
		due := arrived.Add(v.latency)
		if state == flowing && v.rate > 0 {
			if !charged {
				if now := time.Now(); v.free.Before(now) {
					v.free = now
				}
				v.free = v.free.Add(time.Duration(n) * time.Second / time.Duration(v.rate))
				charged = true
			}
			if v.free.After(due) {
				due = v.free
			}
		}
		v.mu.Unlock()

		var timer <-chan time.Time
		switch state {
		case resetting:
			return false
		case flowing:
			wait := time.Until(due)
			if wait <= 0 {
				return true
			}
			timer = time.After(wait)
		case holding:
		}
		select {
		case <-timer:
			return true
		case <-changed:
		case <-done:
			return false
		}
	}
}
