package health

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
)

// fakeSource is a Redis that answers as a test says.
type fakeSource struct {
	is    conn.Mode // empty: standalone
	fakes []*fakeNode
	err   error // of nodes

	mu        sync.Mutex
	change    conn.StateChange
	listeners map[int]func(conn.StateChange)
	events    []conn.Event
}

var _ source = (*fakeSource)(nil)

func (s *fakeSource) mode() conn.Mode {
	if s.is == "" {
		return conn.ModeStandalone
	}
	return s.is
}

func (s *fakeSource) state() conn.StateChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

func (s *fakeSource) onState(fn func(conn.StateChange)) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = map[int]func(conn.StateChange){}
	}
	id := len(s.listeners)
	s.listeners[id] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, id)
	}
}

// becomes changes the connection's state.
func (s *fakeSource) becomes(change conn.StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change = change
	for _, fn := range s.listeners {
		fn(change)
	}
}

func (s *fakeSource) observe(_ context.Context, e conn.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *fakeSource) nodes(context.Context) ([]node, error) {
	var out []node
	for _, f := range s.fakes {
		out = append(out, node{addr: f.addr, ask: f.ask, slots: f.slots})
	}
	return out, s.err
}

// fakeNode is a server.
type fakeNode struct {
	addr    string
	slotMap string // CLUSTER NODES
	takes   time.Duration
	stuck   chan struct{} // answers nothing, whatever the context says, until closed

	mu     sync.Mutex
	answer answer
	asked  []question
}

func (f *fakeNode) ask(ctx context.Context, q question) answer {
	f.mu.Lock()
	f.asked = append(f.asked, q)
	a := f.answer
	f.mu.Unlock()
	start := time.Now()
	if f.stuck != nil {
		<-f.stuck
	}
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return answer{took: time.Since(start), err: &conn.Error{Op: "PING", Kinds: []error{conn.ErrTimeout}, Err: ctx.Err()}}
		}
	}
	a.addr = f.addr
	a.took = max(time.Since(start), time.Microsecond)
	return a
}

func (f *fakeNode) slots(context.Context) ([]mapNode, error) {
	return parseNodes(f.slotMap, f.addr), nil
}

func (f *fakeNode) set(a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = a
}

func (f *fakeNode) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// says is the answer of a server with these INFO lines more.
func says(lines ...string) answer {
	return answer{
		hello: map[string]string{"server": "redis", "version": "8.0.2", "proto": "3", "mode": "standalone", "role": "master"},
		info: strings.Join(append(lines, "redis_version:8.0.2", "role:master", "connected_clients:7", "maxclients:10000",
			"used_memory:2621440", "maxmemory:0", "maxmemory_policy:noeviction", "evicted_keys:0", "loading:0", "aof_enabled:1",
			"uptime_in_seconds:3600", "connected_slaves:0", "rdb_last_bgsave_status:ok"), "\r\n"),
		cluster: "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_slots_assigned:16384\r\n",
	}
}

// one returns a source with one server.
func one(a answer) (*fakeSource, *fakeNode) {
	n := &fakeNode{addr: "10.0.0.1:6379", answer: a}
	return &fakeSource{fakes: []*fakeNode{n}}, n
}

func testChecker(tb testing.TB, s source, opts Options) *Checker {
	tb.Helper()
	k, err := newChecker(s, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// refused is what connecting to a dead server gives.
func refused(addr string) error {
	return &conn.Error{Op: "PING", Addr: addr, Kinds: []error{conn.ErrNotConnected, conn.ErrRefused}, Err: fmt.Errorf("dial tcp %s: connect: connection refused", addr)}
}
