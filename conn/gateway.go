package conn

import "sync/atomic"

// ringSize is the number of commands that rueidis lets wait on one connection
// (2^ringScale); the next one blocks, whatever its context says.
const (
	ringScale = 10
	ringSize  = 1 << ringScale
	headroom  = 64 // for what rueidis and the prober send themselves
)

// gateway decides how a call is made, so that every call comes back in time.
//
// A call into rueidis can outlast its context in two ways: it waits for a
// place in a full ring, or for a connection that somebody else is dialling. A
// call that is given up leaves its command in the ring, invisible to us. So we
// count: calls under way, and commands abandoned since the last probe that
// every primary answered (replies come in order, so what was abandoned before
// that probe is gone). While their sum is below the smallest ring's size, and
// no connection was lost since that probe, neither kind of waiting can happen,
// and calls are made directly, at the cost of a few atomic operations.
//
// Otherwise a call runs on a goroutine, bounded by Config.MaxPending, and its
// caller stops waiting at its deadline. Where there is one primary, a call also
// waits, unsent, until its ring has a place: what cannot be sent in time is
// then known not to have been sent, and a server that goes on after a freeze is
// not hit by thousands of commands whose callers are gone. In a cluster we do
// not know which node's ring a command goes to, and one frozen node must not
// keep calls from the others, so there the goroutine waits inside rueidis.
//
// The races: (1) giveUp counts a command as abandoned before its call stops
// counting as under way, so the sum never misses one. (2) The prober opens the
// gateway while a connection breaks: it compares the generation before and
// after, and suspect raises the generation before it shuts, so one of the two
// leaves it shut. (3) A connection breaks between a caller's look and its call:
// the broken connection fails the call at once, and only a call that finds
// rueidis already dialling waits, for at most the connect time-out; the window
// is the few instructions between two loads. (4) Two callers may both find the
// last place: the headroom is for that, too.
type gateway struct {
	direct     atomic.Int64 // calls made directly, under way
	abandoned  atomic.Int64 // commands given up since an answered probe was sent
	waiting    atomic.Int64 // calls that wait for a place in the ring
	open       atomic.Bool
	indirect   atomic.Int64  // other calls under way
	sending    atomic.Int64  // of these, those inside rueidis
	generation atomic.Uint64 // raised at each suspicion
	closed     atomic.Bool
	oneRing    bool
	pending    chan struct{} // one place for each goroutine of a call that is not direct
	room       chan struct{} // buffered: there may be a place in the ring; whoever takes it tries
	drained    chan struct{} // buffered: no call is under way after shut
}

func newGateway(mode Mode, maxPending int) gateway {
	return gateway{
		oneRing: mode != ModeCluster,
		pending: make(chan struct{}, maxPending),
		room:    make(chan struct{}, 1),
		drained: make(chan struct{}, 1),
	}
}

// most is how many commands may be in a ring on behalf of calls.
const most = ringSize - headroom

// enterDirect reports whether a call may be made directly. leaveDirect must
// follow if so, and must not otherwise. Calls that wait come first.
func (g *gateway) enterDirect() bool {
	if g.direct.Add(1)+g.abandoned.Load() <= most && g.open.Load() && g.waiting.Load() == 0 {
		return true
	}
	g.leaveDirect()
	return false
}

func (g *gateway) leaveDirect() {
	n := g.direct.Add(-1)
	if g.waiting.Load() > 0 {
		g.signal(g.room)
	}
	if n == 0 && g.closed.Load() {
		g.signal(g.drained)
	}
}

func (g *gateway) enterIndirect() bool {
	g.indirect.Add(1)
	if g.closed.Load() {
		g.leaveIndirect()
		return false
	}
	return true
}

func (g *gateway) leaveIndirect() {
	if g.indirect.Add(-1) == 0 && g.closed.Load() {
		g.signal(g.drained)
	}
}

func (g *gateway) calls() int64 { return g.direct.Load() + g.indirect.Load() }

func (g *gateway) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// tryRoom takes a place in the ring, if there is one or it does not matter. It
// counts only when it succeeds: two that counted first would each see the other
// in the last place, and both wait for nobody.
func (g *gateway) tryRoom() bool {
	for {
		n := g.sending.Load()
		if g.oneRing && n+1+g.direct.Load()+g.abandoned.Load() > most {
			return false
		}
		if g.sending.CompareAndSwap(n, n+1) {
			g.signal(g.room) // there may be more: the next one tries
			return true
		}
	}
}

func (g *gateway) leaveRoom() {
	g.sending.Add(-1)
	g.signal(g.room)
}

func (g *gateway) suspect() {
	g.generation.Add(1)
	g.open.Store(false)
}

// answered is called when every primary has answered a probe. generation and
// abandoned are what they were before it was sent.
func (g *gateway) answered(generation uint64, abandoned int64) {
	g.abandoned.Add(-abandoned)
	if g.generation.Load() == generation {
		g.open.Store(true)
		// closed, too: the prober goes on while Close waits for calls.
		if g.generation.Load() != generation || g.closed.Load() {
			g.open.Store(false)
		}
	}
	g.signal(g.room)
}

func (g *gateway) shut() {
	g.closed.Store(true)
	g.suspect()
}

// awaitBackground waits until no goroutine of a call is left: then it could take
// every place itself. When giveUp is closed first, it says how many are left.
func (g *gateway) awaitBackground(giveUp <-chan struct{}) (left int) {
	taken := 0
	defer func() {
		for range taken {
			<-g.pending
		}
	}()
	for range cap(g.pending) {
		select {
		case g.pending <- struct{}{}:
			taken++
		case <-giveUp:
			return len(g.pending) - taken
		}
	}
	return 0
}
