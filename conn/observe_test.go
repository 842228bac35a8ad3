package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// seen is an Observer that collects events.
type seen struct {
	mu     sync.Mutex
	events []Event
	ctxs   []context.Context
}

func (s *seen) Observe(ctx context.Context, e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.ctxs = append(s.events, e), append(s.ctxs, ctx)
}

func (s *seen) take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want Outcome
	}{
		{nil, OutcomeOK},
		{rueidis.Nil, OutcomeMiss},
		{&Error{Kinds: []error{ErrTimeout}}, OutcomeTimeout},
		{&Error{Kinds: []error{ErrTimeout, ErrUnknownOutcome}}, OutcomeUnknown},
		{&Error{Kinds: []error{ErrNotConnected, ErrTimeout}}, OutcomeTimeout},
		{&Error{Kinds: []error{ErrNotConnected, ErrRefused}}, OutcomeNotConnected},
		{&Error{Err: context.Canceled}, OutcomeCanceled},
		{&Error{Kinds: []error{ErrUnknownOutcome}, Err: context.Canceled}, OutcomeUnknown},
		{&Error{Kinds: []error{ErrOutOfMemory}}, OutcomeError},
		{fmt.Errorf("session: %w", &Error{Kinds: []error{ErrTimeout}}), OutcomeTimeout},
		{io.EOF, OutcomeError},
		{&ArgumentError{}, OutcomeError},
	} {
		if got := OutcomeOf(tc.err); got != tc.want {
			t.Errorf("%v is %q, want %q", tc.err, got, tc.want)
		}
	}
}

// Each call is one event, with how it ended, how long it took, and no key.
func TestObserverOfCalls(t *testing.T) {
	p := newPeer(t, func(args []string) string {
		switch args[0] {
		case "GET":
			return "_\r\n"
		case "INCR":
			return "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
		case "EVALSHA":
			return "-NOSCRIPT No matching script.\r\n"
		case "EVAL":
			return ":1\r\n"
		}
		return ""
	})
	var s seen
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}, Observer: &s})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if events := s.take(); len(events) != 0 || !c.Observed() {
		t.Errorf("connecting is told: %v", events)
	}
	ctx := context.WithValue(t.Context(), ctxKey{}, "span")
	get := func() rueidis.Completed { return c.B().Get().Key("secret-key").Build() }
	set := func() rueidis.Completed { return c.B().Set().Key("secret-key").Value("v").Build() }
	incr := func() rueidis.Completed { return c.B().Incr().Key("secret-key").Build() }
	done, cancel := context.WithCancel(ctx)
	cancel()
	before := time.Now()
	script := NewScript("cache.fill", "return 1")
	c.Do(ctx, set())
	c.Do(ctx, get())
	c.Do(ctx, incr())
	c.Do(done, set())
	c.DoMulti(ctx, set(), get(), set())
	c.DoMulti(ctx, set(), incr())
	script.Run(ctx, c, []string{"secret-key"}, nil)
	type want struct {
		op      string
		outcome Outcome
		count   int
		err     error
	}
	wanted := []want{
		{"SET", OutcomeOK, 1, nil},
		{"GET", OutcomeMiss, 1, nil},
		{"INCR", OutcomeError, 1, ErrWrongType},
		{"SET", OutcomeCanceled, 1, context.Canceled},
		{"pipeline", OutcomeOK, 3, nil},
		{"pipeline", OutcomeError, 2, ErrWrongType},
		{"cache.fill", OutcomeOK, 1, nil},
	}
	events := s.take()
	if len(events) != len(wanted) {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	for i, e := range events {
		w := wanted[i]
		if e.Module != "conn" || e.Op != w.op || e.Outcome != w.outcome || e.Count != w.count || !errors.Is(e.Err, w.err) || e.Source != "remote" {
			t.Errorf("%+v, want %+v", e, w)
		}
		if e.Start.Before(before) || e.Duration < 0 || e.Start.Add(e.Duration).After(time.Now()) {
			t.Errorf("%+v: began at the wrong time", e)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), "secret-key") {
			t.Errorf("%+v shows a key", e)
		}
		if s.ctxs[i].Value(ctxKey{}) != "span" {
			t.Error("the context is not the caller's")
		}
	}
}

// What a capability reports is completed, and a panic of the Observer is
// counted and harms nobody.
func TestObserve(t *testing.T) {
	var s seen
	c := lazy(t, Config{Observer: &s})
	c.Observe(t.Context(), Event{Module: "m", Op: "o"})
	c.Observe(t.Context(), Event{Module: "m", Op: "o", Outcome: "denied", Count: 7})
	c.Observe(t.Context(), Event{Module: "m", Op: "o", Err: ErrTimeout})
	got := make([]string, 0, 3)
	for _, e := range s.take() {
		got = append(got, fmt.Sprintf("%s %d", e.Outcome, e.Count))
	}
	if want := []string{"ok 1", "denied 7", "timeout 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	bad := lazy(t, Config{Observer: ObserverFunc(func(context.Context, Event) { panic("observer") })})
	for range 3 {
		bad.Observe(t.Context(), Event{})
	}
	if n := bad.Stats().ObserverPanics; n != 3 {
		t.Errorf("%d panics counted", n)
	}
}

// Where nobody observes, an event costs nothing.
func TestNoObserver(t *testing.T) {
	c := lazy(t, Config{})
	if c.Observed() {
		t.Error("somebody observes")
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { c.Observe(ctx, Event{Module: "m", Op: "o", Start: time.Time{}}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
