package conn

import (
	"log/slog"
	"sync"
	"time"
)

// State is how the connection of a [Client] is.
type State int32

// The states. Connected means that every primary answered the last probe; in
// mode cluster also that each of them finds the cluster in order.
const (
	// Disconnected is the state of a lazy Client before its first use.
	Disconnected State = iota
	// Connecting is the first attempt to connect.
	Connecting
	// Connected means that every primary answered.
	Connected
	// Reconnecting means that at least one primary does not answer, or
	// answers that it cannot serve. Trying goes on, for ever.
	Reconnecting
	// Failed means that trying again cannot help: somebody has to mend the
	// configuration or the server (wrong password, no permission, TLS, wrong
	// mode). It is left when a later probe is answered after all.
	Failed
	// End is the state after Close.
	End
)

// String returns disconnected, connecting, connected, reconnecting, error (for
// Failed) or end.
func (s State) String() string {
	switch s {
	case Disconnected:
		return "disconnected"
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Reconnecting:
		return "reconnecting"
	case Failed:
		return "error"
	case End:
		return "end"
	}
	return "unknown"
}

// StateChange is one transition.
type StateChange struct {
	From, To State
	// Cause is why: nil for Connecting, Connected and End.
	Cause error
	At    time.Time
}

// LogValue implements slog.LogValuer.
func (s StateChange) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("from", s.From.String()), slog.String("to", s.To.String()), slog.Time("at", s.At)}
	if s.Cause != nil {
		attrs = append(attrs, slog.String("cause", s.Cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// states holds the current state and delivers its transitions.
type states struct {
	mu        sync.Mutex
	current   StateChange
	listeners map[*listener]struct{}
	panics    func()
	running   sync.WaitGroup // deliveries under way
}

// listener delivers to one callback, in order. It owns a goroutine only while
// its queue holds something, so that an idle Client has none per listener, and
// a callback that blocks holds up neither the prober nor another callback.
type listener struct {
	fn      func(StateChange)
	mu      sync.Mutex
	queue   []StateChange
	running bool
	removed bool
}

// State returns the current state.
func (c *Client) State() State { return c.LastStateChange().To }

// LastStateChange returns the transition into the current state. It is the
// zero value before the first one.
func (c *Client) LastStateChange() StateChange {
	c.states.mu.Lock()
	defer c.states.mu.Unlock()
	return c.states.current
}

// OnStateChange calls fn for every transition from now on, in order, one at a
// time, on a goroutine of its own; fn may take its time, call the Client, and
// close it with a context that ends. A panic in fn is recovered and counted in
// Stats.ListenerPanics. After remove returns no further call begins; the one
// that is running is not waited for.
func (c *Client) OnStateChange(fn func(StateChange)) (remove func()) {
	l := &listener{fn: fn}
	s := &c.states
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = map[*listener]struct{}{}
	}
	s.listeners[l] = struct{}{}
	return func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		l.mu.Lock()
		l.removed = true
		l.mu.Unlock()
	}
}

// set changes the state and queues the transition for every listener. Nothing
// follows End, and a state does not follow itself.
func (s *states) set(to State, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.To == to || s.current.To == End {
		return
	}
	s.current = StateChange{From: s.current.To, To: to, Cause: cause, At: time.Now()}
	// Under s.mu, so that two transitions reach every queue in their order.
	for l := range s.listeners {
		l.push(s, s.current)
	}
}

func (l *listener) push(s *states, ch StateChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, ch)
	if !l.running {
		l.running = true
		s.running.Add(1)
		go l.run(s)
	}
}

func (l *listener) run(s *states) {
	defer s.running.Done()
	for {
		l.mu.Lock()
		if len(l.queue) == 0 || l.removed {
			l.running, l.queue = false, nil
			l.mu.Unlock()
			return
		}
		ch := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.call(s, ch)
	}
}

func (l *listener) call(s *states, ch StateChange) {
	defer func() {
		if recover() != nil {
			s.panics()
		}
	}()
	l.fn(ch)
}
