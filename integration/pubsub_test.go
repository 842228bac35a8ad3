package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
	"github.com/relay-platform/redis/pubsub"
)

type order struct{ Number int }

func newPubsub(tb testing.TB, c *conn.Client) *pubsub.PubSub {
	tb.Helper()
	p, err := pubsub.New(c, pubsub.Options{Source: "test"})
	must(tb, err)
	return p
}

// inbox is a subscription whose messages and hooks come on channels.
type inbox struct {
	*pubsub.Subscription
	got  chan int // numbers of orders; -1 for a gap
	errs chan error
}

func subscribe(tb testing.TB, p *pubsub.PubSub, channel string) *inbox {
	tb.Helper()
	in := &inbox{got: make(chan int, 1<<16), errs: make(chan error, 1<<10)}
	s, err := pubsub.Subscribe(tb.Context(), p, channel, func(_ context.Context, m pubsub.Message[order]) error {
		in.got <- m.Payload.Number
		return nil
	}, pubsub.SubscribeOptions{
		OnGap:   func(context.Context) { in.got <- -1 },
		OnError: func(err error) { in.errs <- err },
	})
	must(tb, err)
	in.Subscription = s
	closeSubscription(tb, s)
	return in
}

func closeSubscription(tb testing.TB, s *pubsub.Subscription) {
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
}

func (in *inbox) next(tb testing.TB) int {
	tb.Helper()
	select {
	case n := <-in.got:
		return n
	case <-time.After(10 * time.Second):
		tb.Fatalf("nothing comes: %+v", in.Stats())
		return 0
	}
}

func publish(tb testing.TB, p *pubsub.PubSub, channel string, n int) {
	tb.Helper()
	_, err := pubsub.Publish(tb.Context(), p, channel, order{n})
	must(tb, err)
}

// A message arrives as it was sent, at everybody who is subscribed, from another
// process too, and nowhere else.
func TestAnyPubsubMessage(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	from, to := newPubsub(t, open(t, cfg)), newPubsub(t, open(t, cfg))
	got := make(chan pubsub.Message[order], 8)
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	for range 2 {
		s, err := pubsub.Subscribe(ctx, to, "orders:{new}", func(ctx context.Context, m pubsub.Message[order]) error {
			if ctx.Value(key{}) != "value" || ctx.Err() != nil {
				t.Errorf("the handler's context: %v, %v", ctx.Value(key{}), ctx.Err())
			}
			got <- m
			return nil
		}, pubsub.SubscribeOptions{})
		must(t, err)
		closeSubscription(t, s)
	}
	other := subscribe(t, to, "orders")
	id, err := pubsub.Publish(ctx, from, "orders:{new}", order{42}, pubsub.WithType("order.created"), pubsub.WithCorrelationID("req-1"))
	must(t, err)
	want := pubsub.Message[order]{ID: id, Type: "order.created", Source: "test", CorrelationID: "req-1", Channel: "orders:{new}", Payload: order{42}}
	for range 2 {
		select {
		case m := <-got:
			m.Time = time.Time{}
			if diff := cmp.Diff(want, m); diff != "" {
				t.Errorf("the message (- sent, + received):\n%s", diff)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nothing comes")
		}
	}
	publish(t, from, "orders", 1)
	if n := other.next(t); n != 1 {
		t.Errorf("another channel got %d", n)
	}
	must(t, other.Close(t.Context()))
	if s := other.Stats(); s.Received != 1 || s.Handled != 1 {
		t.Errorf("another channel: %+v", s)
	}
}

// Subscribe returns when the subscription is confirmed: what is published right
// after that arrives, in order. In a cluster each PUBLISH goes to any node, so
// that one can overtake another on the way.
func TestAnyPubsubIsConfirmed(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	from, to := newPubsub(t, open(t, cfg)), newPubsub(t, open(t, cfg))
	var want []int
	for n := range 20 {
		want = append(want, n)
	}
	for i := range 20 {
		in := subscribe(t, to, "c"+itoa(i))
		for _, n := range want {
			publish(t, from, "c"+itoa(i), n)
		}
		var got []int
		for range want {
			got = append(got, in.next(t))
		}
		if anyGroup(t).Topology() == redistest.TopologyCluster {
			slices.Sort(got)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("subscription %d got %v", i, got)
		}
	}
}

// A handler that hangs holds up no command: it costs messages, the oldest first,
// and they are counted.
func TestPubsubSlowHandler(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL()})
	p := newPubsub(t, c)
	release, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	got := make(chan int, 100)
	sub, err := pubsub.Subscribe(t.Context(), p, "c", func(_ context.Context, m pubsub.Message[order]) error {
		once.Do(func() { close(entered) })
		<-release
		got <- m.Payload.Number
		return nil
	}, pubsub.SubscribeOptions{QueueSize: 10})
	must(t, err)
	closeSubscription(t, sub)
	publish(t, p, "c", 0)
	<-entered
	const sent = 2000
	var slowest time.Duration
	for n := 1; n <= sent; n++ {
		start := time.Now()
		publish(t, p, "c", n)
		slowest = max(slowest, time.Since(start))
	}
	within(t, 10*time.Second, "all have arrived", func() bool { return sub.Stats().Received == sent+1 })
	t.Logf("the slowest of %d commands took %v", sent, slowest)
	if slowest > time.Second {
		t.Errorf("a command took %v", slowest)
	}
	if st := sub.Stats(); st.Dropped != sent-10 || st.Waiting != 10 || st.Handled != 0 {
		t.Errorf("got %+v", st)
	}
	close(release)
	for _, want := range []int{0, 1991, 1992, 1993, 1994, 1995, 1996, 1997, 1998, 1999, 2000} {
		if n := <-got; n != want {
			t.Errorf("handled %d, not %d", n, want)
		}
	}
	// The commands' connection and the subscription's.
	if n := c.Stats().Conns; n != 2 {
		t.Errorf("%d connections, not 2", n)
	}
}

// What goes wrong with a message is told, and does not stop the next.
func TestAnyPubsubErrors(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	p := newPubsub(t, c)
	done, errs := make(chan struct{}), make(chan error, 8)
	broken := errors.New("broken")
	sub, err := pubsub.Subscribe(t.Context(), p, "c", func(_ context.Context, m pubsub.Message[order]) error {
		switch m.Payload.Number {
		case 1:
			panic("ouch")
		case 2:
			return broken
		case 3:
			close(done)
		}
		return nil
	}, pubsub.SubscribeOptions{OnError: func(err error) {
		errs <- err
		panic("the hook, too")
	}})
	must(t, err)
	closeSubscription(t, sub)
	arrived := func(n int64) { // in a cluster, the next message could overtake it
		t.Helper()
		within(t, 5*time.Second, "it has arrived", func() bool { return sub.Stats().Received == n })
	}
	publish(t, p, "c", 1)
	arrived(1)
	publish(t, p, "c", 2)
	arrived(2)
	must(t, c.Do(t.Context(), c.B().Publish().Channel(c.Keyspace("pubsub").Key("c")).Message("hello").Build()).Error())
	arrived(3)
	_, err = pubsub.Publish(t.Context(), p, "c", "another type")
	must(t, err)
	arrived(4)
	publish(t, p, "c", 3)
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("the last message does not come: %+v", sub.Stats())
	}
	var panicked *pubsub.PanicError
	if err := <-errs; !errors.As(err, &panicked) || panicked.Value != "ouch" || !strings.Contains(string(panicked.Stack), "pubsub_test.go") {
		t.Errorf("the panic: %v", err)
	}
	if err := <-errs; !errors.Is(err, broken) || !strings.Contains(err.Error(), `pubsub: handle "c": `) {
		t.Errorf("the handler's error: %v", err)
	}
	for _, want := range []string{"not of this package", "is no integration_test.order"} {
		if err := <-errs; !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, not %q", err, want)
		}
	}
	within(t, 5*time.Second, "all are counted", func() bool { return sub.Stats().Handled == 3 })
	if st := sub.Stats(); st.Received != 5 || st.Errors != 3 || st.Panics != 5 || st.Dropped != 0 {
		t.Errorf("got %+v", st)
	}
}

// Every reconnect is told as a gap, before the messages that follow it.
func TestFaultPubsubGap(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := newPubsub(t, open(t, conn.Config{URL: s.URL()}))
	in := subscribe(t, p, "c")
	const rounds = 6 // more than rueidis tries by itself
	for n := range rounds {
		publish(t, p, "c", n)
		if got := in.next(t); got != n {
			t.Fatalf("got %d, not %d", got, n)
		}
		killed, err := s.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub")
		must(t, err)
		if killed != int64(1) {
			t.Fatalf("%v connections killed, not 1", killed)
		}
		if got := in.next(t); got != -1 {
			t.Fatalf("got %d, not a gap", got)
		}
		if err := <-in.errs; !errors.Is(err, conn.ErrConnectionLost) || !strings.Contains(err.Error(), `pubsub: receive "c": `) {
			t.Errorf("the error is %v", err)
		}
	}
	if st := in.Stats(); st.Gaps != rounds || st.Received != rounds {
		t.Errorf("got %+v", st)
	}
}

// A server that is away for a while, longer than rueidis' own retries, costs
// what was published meanwhile, and not the subscription.
func TestFaultPubsubServerRestarts(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := newPubsub(t, open(t, conn.Config{URL: s.URL()}))
	in := subscribe(t, p, "c")
	must(t, s.Kill(t.Context()))
	seen := 0
	for seen < 5 { // attempts that failed
		select {
		case <-in.errs:
			seen++
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d attempts", seen)
		}
	}
	must(t, s.Start(t.Context()))
	if got := in.next(t); got != -1 {
		t.Fatalf("got %d, not a gap", got)
	}
	within(t, 10*time.Second, "commands work again", func() bool {
		_, err := pubsub.Publish(t.Context(), p, "c", order{7})
		return err == nil
	})
	if got := in.next(t); got != 7 {
		t.Errorf("got %d", got)
	}
}

// Close takes the subscription away at the server, and waits for what was
// received.
func TestAnyPubsubCloseDrains(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	p := newPubsub(t, c)
	conns := c.Stats().Conns
	release, entered := make(chan struct{}), make(chan struct{}, 100)
	sub, err := pubsub.Subscribe(t.Context(), p, "c", func(context.Context, pubsub.Message[order]) error {
		entered <- struct{}{}
		<-release
		return nil
	}, pubsub.SubscribeOptions{})
	must(t, err)
	const sent = 50
	for n := range sent {
		publish(t, p, "c", n)
	}
	within(t, 5*time.Second, "all have arrived", func() bool { return sub.Stats().Received == sent })
	closed := make(chan error)
	go func() { closed <- sub.Close(t.Context()) }()
	within(t, 5*time.Second, "the connection is given back", func() bool { return c.Stats().Conns <= max(conns, 1) || c.Mode() == conn.ModeCluster })
	select {
	case err := <-closed:
		t.Fatalf("Close returned while messages wait: %v", err)
	default:
	}
	close(release)
	must(t, <-closed)
	if st := sub.Stats(); st.Handled != sent || st.Waiting != 0 || st.Dropped != 0 {
		t.Errorf("got %+v", st)
	}
	must(t, sub.Close(t.Context()))
	publish(t, p, "c", 1) // nobody is there
	if st := sub.Stats(); st.Received != sent {
		t.Errorf("after Close: %+v", st)
	}
}

// A Close whose context ends does not wait, says what was lost, and tells the
// handler.
func TestAnyPubsubCloseGivesUp(t *testing.T) {
	t.Parallel()
	p := newPubsub(t, open(t, anyConfig(t)))
	told := make(chan error, 8)
	sub, err := pubsub.Subscribe(t.Context(), p, "c", func(ctx context.Context, _ pubsub.Message[order]) error {
		<-ctx.Done()
		told <- ctx.Err()
		return nil
	}, pubsub.SubscribeOptions{})
	must(t, err)
	for n := range 5 {
		publish(t, p, "c", n)
	}
	within(t, 5*time.Second, "all have arrived", func() bool { s := sub.Stats(); return s.Received == 5 && s.Waiting == 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = sub.Close(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "4 messages were not handled") {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the handler was told %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the handler was not told")
	}
	must(t, sub.Close(t.Context()))
	if st := sub.Stats(); st.Handled != 1 || st.Dropped != 4 || st.Waiting != 0 {
		t.Errorf("got %+v", st)
	}
}

// A handler can close its own subscription.
func TestAnyPubsubCloseInside(t *testing.T) {
	t.Parallel()
	p := newPubsub(t, open(t, anyConfig(t)))
	var sub *pubsub.Subscription
	ready, closed := make(chan struct{}), make(chan error, 8)
	sub, err := pubsub.Subscribe(t.Context(), p, "c", func(ctx context.Context, _ pubsub.Message[order]) error {
		<-ready
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		closed <- sub.Close(inner)
		return nil
	}, pubsub.SubscribeOptions{})
	must(t, err)
	close(ready)
	publish(t, p, "c", 1)
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for itself")
	}
	must(t, sub.Close(timeout(t, 5*time.Second)))
}

// What the ACL forbids, Subscribe says; nobody is left subscribed.
func TestPubsubPermission(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Users: []string{"few on >pw ~* &pubsub:mine +@all"}})
	c := open(t, conn.Config{Addrs: []string{s.Addr()}, Username: "few", Password: "pw"})
	p := newPubsub(t, c)
	handler := func(context.Context, pubsub.Message[order]) error { return nil }
	sub, err := pubsub.Subscribe(t.Context(), p, "theirs", handler, pubsub.SubscribeOptions{})
	if !errors.Is(err, conn.ErrPermission) || sub != nil || !strings.Contains(fmt.Sprint(err), `pubsub: subscribe "theirs": `) {
		t.Errorf("Subscribe: %v", err)
	}
	if _, err := pubsub.Publish(t.Context(), p, "theirs", order{}); !errors.Is(err, conn.ErrPermission) {
		t.Errorf("Publish: %v", err)
	}
	in := subscribe(t, p, "mine")
	publish(t, p, "mine", 1)
	if got := in.next(t); got != 1 {
		t.Errorf("got %d", got)
	}
	within(t, 5*time.Second, "only two connections are left", func() bool { return c.Stats().Conns == 2 })
}

// Without a server, Subscribe says so by its deadline; with a silent one, too.
func TestPubsubSubscribeFails(t *testing.T) {
	t.Parallel()
	handler := func(context.Context, pubsub.Message[order]) error { return nil }
	nobody := newPubsub(t, open(t, conn.Config{Addrs: []string{unusedAddr(t)}, Lazy: true}))
	if _, err := pubsub.Subscribe(t.Context(), nobody, "c", handler, pubsub.SubscribeOptions{}); !errors.Is(err, conn.ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL()})
	must(t, s.Freeze(t.Context()))
	start := time.Now()
	_, err := pubsub.Subscribe(timeout(t, 300*time.Millisecond), newPubsub(t, c), "c", handler, pubsub.SubscribeOptions{})
	if took := time.Since(start); !errors.Is(err, conn.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	must(t, s.Thaw(t.Context()))
}

// When the Client is closed under a subscription, that ends, and says so.
func TestPubsubClientClosed(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c, err := conn.Open(t.Context(), conn.Config{URL: s.URL()})
	must(t, err)
	in := subscribe(t, newPubsub(t, c), "c")
	must(t, c.Close(timeout(t, 5*time.Second)))
	for {
		select {
		case err := <-in.errs:
			if errors.Is(err, conn.ErrClosed) {
				must(t, in.Close(timeout(t, 5*time.Second)))
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nobody says that the client is closed")
		}
	}
}

func TestAnyPubsubIsObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{module: "pubsub"}
	cfg := anyConfig(t)
	cfg.Observer = r
	p := newPubsub(t, open(t, cfg))
	in := subscribe(t, p, "c")
	publish(t, p, "c", 1)
	in.next(t)
	must(t, in.Close(t.Context()))
	_, _ = pubsub.Publish(t.Context(), p, "", 1)
	r.mu.Lock()
	if len(r.events) > 2 && r.events[1] == "handle:ok" { // which of the two is faster is not settled
		r.events[1], r.events[2] = r.events[2], r.events[1]
	}
	r.mu.Unlock()
	r.want(t, "subscribe:ok", "publish:ok", "handle:ok", "publish:error")
}
