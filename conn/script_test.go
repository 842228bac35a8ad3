package conn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"
)

// A lazy Client has a builder before it is connected, in every mode; that of a
// cluster knows the slots.
func TestBuilder(t *testing.T) {
	noLeaks(t)
	for _, mode := range []Mode{ModeStandalone, ModeSentinel, ModeCluster} {
		b, err := newBuilder(mode)
		if err != nil {
			t.Fatal(err)
		}
		cmd := b.Set().Key("k").Value("v").Build()
		if got := cmd.Commands(); !slices.Equal(got, []string{"SET", "k", "v"}) {
			t.Errorf("%s: built %q", mode, got)
		}
		if mode != ModeCluster {
			continue
		}
		for _, key := range hostile {
			if cmd := b.Get().Key(key).Build(); int(cmd.Slot()) != Slot(key) {
				t.Errorf("rueidis has %d for the slot of %q, we have %d", cmd.Slot(), key, Slot(key))
			}
		}
		if got := b.Ping().Build(); got.Slot() != anySlot {
			t.Errorf("a command without a key has the slot %d", got.Slot())
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("keys of two slots are built into one command")
				}
			}()
			b.Del().Key("foo", "bar").Build()
		}()
	}
}

func TestMixesSlots(t *testing.T) {
	b, err := newBuilder(ModeCluster)
	if err != nil {
		t.Fatal(err)
	}
	get := func(key string) rueidis.Completed { return b.Get().Key(key).Build() }
	ping := func() rueidis.Completed { return b.Ping().Build() }
	for name, tc := range map[string]struct {
		cmds []rueidis.Completed
		want bool
	}{
		"none":                        {nil, false},
		"no key":                      {[]rueidis.Completed{ping(), ping()}, false},
		"one slot":                    {[]rueidis.Completed{get("{a}1"), get("{a}2")}, false},
		"several slots":               {[]rueidis.Completed{get("foo"), get("bar")}, false},
		"no key and one slot":         {[]rueidis.Completed{ping(), get("{a}1"), get("{a}2")}, false},
		"no key first":                {[]rueidis.Completed{ping(), get("foo"), get("bar")}, true},
		"no key last":                 {[]rueidis.Completed{get("foo"), get("bar"), ping()}, true},
		"no key between":              {[]rueidis.Completed{get("foo"), ping(), get("bar")}, true},
		"slot 0 and others, no key":   {[]rueidis.Completed{get(""), ping(), get("bar")}, true},
		"slot 0 and itself, no key":   {[]rueidis.Completed{get(""), ping(), get("")}, false},
		"the first slot again, later": {[]rueidis.Completed{get("foo"), get("bar"), get("foo"), ping()}, true},
	} {
		if got := mixesSlots(tc.cmds); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// In mode cluster a pipeline that rueidis would panic about is an error, and
// nothing of it is sent.
func TestPipelineAcrossSlots(t *testing.T) {
	c := lazy(t, Config{Addrs: []string{"127.0.0.1:1"}, Mode: ModeCluster})
	for _, res := range c.DoMulti(t.Context(), c.B().Get().Key("foo").Build(), c.B().Ping().Build(), c.B().Get().Key("bar").Build()) {
		wantIs(t, res.Error(), ErrCrossSlot)
	}
	if got := c.DoMulti(t.Context()); got != nil {
		t.Errorf("no commands give %v", got)
	}
}

// Keys of different slots are refused before anything is sent, in every mode;
// the error names the script and tells what to do.
func TestScriptAcrossSlots(t *testing.T) {
	s := NewScript("cache.fill", "return 1")
	for _, mode := range []Mode{ModeStandalone, ModeCluster} {
		c := lazy(t, Config{Addrs: []string{"127.0.0.1:1"}, Mode: mode})
		err := s.Run(t.Context(), c, []string{"foo", "bar"}, nil).Error()
		wantIs(t, err, ErrCrossSlot)
		b := c.Batch()
		b.Run(s, []string{"foo", "bar"}, nil)
		if b.Len() != 1 {
			t.Errorf("the batch has %d", b.Len())
		}
		res := b.Exec(t.Context())
		wantIs(t, res[0].Error(), ErrCrossSlot)
		for _, err := range []error{err, res[0].Error()} {
			for _, part := range []string{"cache.fill", "2 keys", "Tagged"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: does not mention %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "foo") {
				t.Errorf("%v: shows a key", err)
			}
		}
	}
}

// scripted starts a peer that knows no script until it was sent as a whole.
func scripted(t *testing.T) (*peer, *Client) {
	t.Helper()
	var mu sync.Mutex
	known := map[string]bool{}
	p := newPeer(t, func(args []string) string {
		mu.Lock()
		defer mu.Unlock()
		switch args[0] {
		case "EVALSHA", "EVALSHA_RO":
			if !known[args[1]] {
				return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
			}
			return ":2\r\n"
		case "EVAL", "EVAL_RO":
			s := NewScript("", args[1])
			known[s.sha] = true
			return ":1\r\n"
		case "GET":
			return "$5\r\nvalue\r\n"
		}
		return ""
	})
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return p, c
}

// A script is sent by its digest, as a whole where it is not known, and by its
// digest from then on.
func TestScriptRun(t *testing.T) {
	for name, tc := range map[string]struct {
		opts      []ScriptOption
		sha, full string
	}{
		"plain":     {nil, "EVALSHA", "EVAL"},
		"read-only": {[]ScriptOption{ScriptReadOnly}, "EVALSHA_RO", "EVAL_RO"},
		"both":      {[]ScriptOption{ScriptReadOnly, ScriptRetryable}, "EVALSHA_RO", "EVAL_RO"},
	} {
		p, c := scripted(t)
		s := NewScript("s", "return 'x'", tc.opts...)
		for _, want := range []int64{1, 2, 2} {
			if got, err := s.Run(t.Context(), c, []string{"k1{a}", "k2{a}"}, []string{"v"}).AsInt64(); err != nil || got != want {
				t.Errorf("%s: %d, %v", name, got, err)
			}
		}
		tail := " 2 K1{A} K2{A} V"
		sha := strings.ToUpper(s.sha)
		want := []string{tc.sha + " " + sha + tail, tc.full + " RETURN 'X'" + tail, tc.sha + " " + sha + tail, tc.sha + " " + sha + tail}
		if got := p.received(); !slices.Equal(got, want) {
			t.Errorf("%s: sent %q, want %q", name, got, want)
		}
	}
	if got := NewScript("n", "return 1").sha; got != "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" {
		t.Errorf("the digest is %s", got) // as SCRIPT LOAD of Redis says
	}
}

// A batch returns its results in order, sends unknown scripts again and nothing
// else, and leaves out what must not be sent.
func TestBatch(t *testing.T) {
	p, c := scripted(t)
	a, other := NewScript("a", "return 1"), NewScript("b", "return 2")
	b := c.Batch()
	b.Do(c.B().Get().Key("k").Build())
	b.Run(a, []string{"k"}, nil)
	b.Run(other, []string{"foo", "bar"}, nil)
	b.Do(c.B().Get().Key("k").Build())
	b.Run(other, []string{"k"}, []string{"v"})
	if b.Len() != 5 {
		t.Errorf("the batch has %d", b.Len())
	}
	res := b.Exec(t.Context())
	if len(res) != 5 {
		t.Fatalf("%d results", len(res))
	}
	for _, i := range []int{0, 3} {
		if s, err := res[i].ToString(); s != "value" || err != nil {
			t.Errorf("result %d is %q, %v", i, s, err)
		}
	}
	for _, i := range []int{1, 4} {
		if n, err := res[i].AsInt64(); n != 1 || err != nil {
			t.Errorf("result %d is %d, %v", i, n, err)
		}
	}
	wantIs(t, res[2].Error(), ErrCrossSlot)
	sha := func(s *Script) string { return "EVALSHA " + strings.ToUpper(s.sha) }
	want := []string{"GET K", sha(a) + " 1 K", "GET K", sha(other) + " 1 K V", "EVAL RETURN 1 1 K", "EVAL RETURN 2 1 K V"}
	if got := p.received(); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	// What is known by now is not sent again.
	known := c.Batch()
	known.Run(a, []string{"k"}, nil)
	known.Do(c.B().Get().Key("k").Build())
	if n, err := known.Exec(t.Context())[0].AsInt64(); n != 2 || err != nil {
		t.Errorf("a known script gives %d, %v", n, err)
	}
	if got := p.received()[len(want):]; !slices.Equal(got, []string{sha(a) + " 1 K", "GET K"}) {
		t.Errorf("sent %q", got)
	}
	if got := b.Exec(t.Context()); b.Len() != 0 || len(got) != 0 {
		t.Errorf("a second Exec gives %v", got)
	}
}

// The errors of scripts say which one it was, and of what kind.
func TestScriptErrors(t *testing.T) {
	p := newPeer(t, func(args []string) string {
		if strings.HasPrefix(args[0], "EVAL") {
			return "-OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.\r\n"
		}
		return ""
	})
	c, err := Open(t.Context(), Config{Addrs: []string{p.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	s := NewScript("cache.fill", "return 1")
	b := c.Batch()
	b.Run(s, []string{"k"}, nil)
	for _, res := range []rueidis.RedisResult{s.Run(t.Context(), c, []string{"k"}, nil), b.Exec(t.Context())[0]} {
		err := res.Error()
		wantIs(t, err, ErrOutOfMemory)
		var ours *Error
		if !errors.As(err, &ours) || ours.Op != "cache.fill" {
			t.Errorf("%v: is not about the script", err)
		}
	}
	// The nil reply of a script is rueidis', as of any command.
	none := newPeer(t, func(args []string) string {
		if strings.HasPrefix(args[0], "EVAL") {
			return "_\r\n"
		}
		return ""
	})
	c, err = Open(t.Context(), Config{Addrs: []string{none.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := s.Run(t.Context(), c, nil, nil).Error(); !rueidis.IsRedisNil(err) {
		t.Errorf("the nil reply became %v", err)
	}
}
