package conn

import "sync/atomic"

// Stats are counters since Open, and the current numbers of what is open.
type Stats struct {
	Calls          int64 // calls under way now
	Pending        int64 // of these, or given up by their callers, waiting on a goroutine of their own
	Conns          int64 // open connections now, to servers and Sentinels
	Timeouts       int64 // calls given up at their deadline, or cancelled, after sending
	Dials          int64 // attempts to open a connection
	DialFailures   int64 // of these, failed, or closed during the handshake
	ConnsLost      int64 // connections that the other side or the network closed
	Probes         int64 // rounds of the prober
	ObserverPanics int64 // panics recovered in Config.Observer
	ListenerPanics int64 // panics recovered in listeners of OnStateChange
}

type counters struct {
	timeouts, dials, dialFailures, connsLost, probes atomic.Int64
	observerPanics, listenerPanics                   atomic.Int64
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		Calls:          c.gate.calls(),
		Pending:        int64(len(c.gate.pending)),
		Conns:          int64(c.dialer.open()),
		Timeouts:       c.stats.timeouts.Load(),
		Dials:          c.stats.dials.Load(),
		DialFailures:   c.stats.dialFailures.Load(),
		ConnsLost:      c.stats.connsLost.Load(),
		Probes:         c.stats.probes.Load(),
		ObserverPanics: c.stats.observerPanics.Load(),
		ListenerPanics: c.stats.listenerPanics.Load(),
	}
}
