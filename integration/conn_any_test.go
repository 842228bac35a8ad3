package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidiscompat"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
)

// The tests named TestAny… run on the topology that REDISTEST_TOPOLOGY names.

// anyGroup returns the servers that such tests share.
func anyGroup(tb testing.TB) *redistest.Group {
	return redistest.Shared(tb, "", redistest.Options{})
}

// anyConfig is how to reach them, with a prefix of the test's own.
func anyConfig(tb testing.TB) conn.Config {
	return conn.Config{URL: anyGroup(tb).URL(), KeyPrefix: newPrefix(tb)}
}

// oracle shows what is in Redis by another face: rueidiscompat, which is
// go-redis' on rueidis.
func oracle(tb testing.TB, c *conn.Client) rueidiscompat.Cmdable {
	raw, err := c.Raw(tb.Context())
	must(tb, err)
	return rueidiscompat.NewAdapter(raw)
}

// Commands, pipelines, scripts and batches do what they say, and another client
// finds the keys where Keyspace says they are.
func TestAnyCommands(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	c := open(t, cfg)
	ctx := t.Context()
	ks := c.Keyspace("thing")
	see := oracle(t, c)

	must(t, c.Do(ctx, c.B().Set().Key(ks.Key("a")).Value("1").Ex(time.Minute).Build()).Error())
	if v, err := see.Get(ctx, cfg.KeyPrefix+"thing:a").Result(); v != "1" || err != nil {
		t.Errorf("the oracle sees %q, %v", v, err)
	}
	if _, err := c.Do(ctx, c.B().Get().Key(ks.Key("none")).Build()).ToString(); !rueidis.IsRedisNil(err) {
		t.Errorf("a missing key gives %v", err)
	}

	var cmds []rueidis.Completed
	for i := range 100 {
		cmds = append(cmds, c.B().Set().Key(ks.Key(itoa(i))).Value(itoa(i*i)).Ex(time.Minute).Build())
	}
	for i, res := range c.DoMulti(ctx, cmds...) {
		if err := res.Error(); err != nil {
			t.Fatalf("command %d: %v", i, err)
		}
	}
	cmds = cmds[:0]
	for i := range 100 {
		cmds = append(cmds, c.B().Get().Key(ks.Key(itoa(i))).Build())
	}
	for i, res := range c.DoMulti(ctx, cmds...) {
		if n, err := res.AsInt64(); n != int64(i*i) || err != nil {
			t.Fatalf("result %d is %d, %v", i, n, err)
		}
	}

	sum := conn.NewScript("test.sum", `
		local n = redis.call('INCRBY', KEYS[1], ARGV[1])
		redis.call('PEXPIRE', KEYS[1], 60000)
		redis.call('SET', KEYS[2], n, 'PX', 60000)
		return n`)
	keys := []string{ks.Tagged("g", "n"), ks.Tagged("g", "last")}
	for i := range 3 {
		if n, err := sum.Run(ctx, c, keys, []string{"5"}).AsInt64(); n != int64(5*(i+1)) || err != nil {
			t.Fatalf("run %d gives %d, %v", i, n, err)
		}
	}
	if v, err := see.Get(ctx, keys[1]).Result(); v != "15" || err != nil {
		t.Errorf("the oracle sees %q, %v", v, err)
	}

	b := c.Batch()
	b.Do(c.B().Get().Key(keys[0]).Build())
	b.Run(conn.NewScript("test.twice", "return ARGV[1] * 2 + 0*"+itoa(int(time.Now().UnixNano()%1e9))), keys[:1], []string{"21"}) // nobody has loaded it
	b.Run(sum, []string{ks.Key("x"), ks.Key("y")}, []string{"1"})                                                                 // two slots
	b.Run(sum, keys, []string{"1"})
	res := b.Exec(ctx)
	if n, err := res[0].AsInt64(); n != 15 || err != nil {
		t.Errorf("GET: %d, %v", n, err)
	}
	if n, err := res[1].AsInt64(); n != 42 || err != nil {
		t.Errorf("a script that had to be loaded: %d, %v", n, err)
	}
	if err := res[2].Error(); !errors.Is(err, conn.ErrCrossSlot) {
		t.Errorf("two slots: %v", err)
	}
	if n, err := res[3].AsInt64(); n != 16 || err != nil {
		t.Errorf("script: %d, %v", n, err)
	}
	if n, err := see.Exists(ctx, ks.Key("x")).Result(); n != 0 || err != nil {
		t.Errorf("the refused script has written")
	}
}

// Keys of several slots in one script are an error before anything is sent; so
// are, in a cluster, commands without a key beside those of several slots.
// Neither is a panic, and the Client works on.
func TestAnyCrossSlot(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ks := c.Keyspace("x")
	err := conn.NewScript("test.two", "return 1").Run(t.Context(), c, []string{ks.Key("a"), ks.Key("b")}, nil).Error()
	if !errors.Is(err, conn.ErrCrossSlot) || !strings.Contains(err.Error(), "test.two") {
		t.Errorf("got %v", err)
	}
	res := c.DoMulti(t.Context(), c.B().Ping().Build(), c.B().Get().Key(ks.Key("a")).Build(), c.B().Get().Key(ks.Key("b")).Build())
	for i, r := range res {
		err := r.Error()
		if c.Mode() == conn.ModeCluster && !errors.Is(err, conn.ErrCrossSlot) {
			t.Errorf("result %d: %v", i, err)
		}
		if c.Mode() != conn.ModeCluster && err != nil && !rueidis.IsRedisNil(err) {
			t.Errorf("result %d: %v", i, err)
		}
	}
	must(t, c.Do(t.Context(), c.B().Ping().Build()).Error())
}

// A lazy Client connects at first use in every mode, and its builder works
// before.
func TestAnyLazy(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	cfg.Lazy = true
	c := open(t, cfg)
	if c.State() != conn.Disconnected || c.Stats().Dials != 0 {
		t.Errorf("it is %v after %d dials", c.State(), c.Stats().Dials)
	}
	w := watch(t, c)
	key := c.Keyspace("lazy").Key("k")
	must(t, c.Do(t.Context(), c.B().Set().Key(key).Value("v").Ex(time.Minute).Build()).Error())
	if s, err := c.Do(t.Context(), c.B().Get().Key(key).Build()).ToString(); s != "v" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	w.await(t, conn.Connected, 5*time.Second)
}

// SCRIPT FLUSH under load is invisible (test 20, first half).
func TestAnyScriptFlush(t *testing.T) {
	t.Parallel()
	g := redistest.Default(t, redistest.Options{})
	c := open(t, conn.Config{URL: g.URL()})
	ks := c.Keyspace("flush")
	s := conn.NewScript("test.incr", "return redis.call('INCR', KEYS[1])")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	flushes := 0
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for ctx.Err() == nil {
			for _, srv := range g.Servers {
				if _, err := srv.Do(ctx, "SCRIPT", "FLUSH"); err == nil {
					flushes++
				}
			}
		}
	}()
	const workers, each = 16, 200
	var wg sync.WaitGroup
	var failed atomic.Int64
	for w := range workers {
		wg.Go(func() {
			key := ks.Key(itoa(w))
			for i := range each {
				if n, err := s.Run(t.Context(), c, []string{key}, nil).AsInt64(); err != nil || n != int64(i+1) {
					failed.Add(1)
					t.Errorf("worker %d, run %d: %d, %v", w, i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	stop()
	<-flushed
	t.Logf("%d runs, %d flushes, %d failures", workers*each, flushes, failed.Load())
	if flushes < 10 {
		t.Errorf("only %d flushes: the fault did not happen", flushes)
	}
}

// Replies reach who asked, under a storm of cancelled calls (test 1). Every
// value says which key it is for.
func TestAnyNoMixedReplies(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	ks := c.Keyspace("mix")
	const keys, workers = 200, 32
	var sets []rueidis.Completed
	for i := range keys {
		sets = append(sets, c.B().Set().Key(ks.Key(itoa(i))).Value(fmt.Sprintf("value-of-%d", i)).Ex(time.Minute).Build())
	}
	for _, r := range c.DoMulti(t.Context(), sets...) {
		must(t, r.Error())
	}
	var wg sync.WaitGroup
	var right, cut, wrong atomic.Int64
	for w := range workers {
		wg.Go(func() {
			for i := range 500 {
				k := (w*7 + i) % keys
				ctx, cancel := context.WithCancel(t.Context())
				switch i % 4 {
				case 0:
					cancel()
				case 1:
					time.AfterFunc(time.Duration(i%300)*time.Microsecond, cancel)
				case 2:
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(i%500)*time.Microsecond)
				}
				s, err := c.Do(ctx, c.B().Get().Key(ks.Key(itoa(k))).Build()).ToString()
				cancel()
				switch {
				case err != nil:
					if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v", err)
					}
					cut.Add(1)
				case s == fmt.Sprintf("value-of-%d", k):
					right.Add(1)
				default:
					wrong.Add(1)
					t.Errorf("key %d got %q", k, s)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d right, %d cut off, %d mixed up", right.Load(), cut.Load(), wrong.Load())
	if cut.Load() < workers*100 || right.Load() < workers*100 {
		t.Error("too few calls were cut off, or too few were not: the fault did not happen")
	}
}

// A Keyspace's pattern finds its own keys, and none of its neighbours', although
// both prefix and names hold what globs are made of.
func TestAnyPatternStaysInside(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	cfg.KeyPrefix += "a*[b]?:"
	c := open(t, cfg)
	cfg2 := cfg
	cfg2.KeyPrefix = strings.Replace(cfg.KeyPrefix, "a*[b]?", "axbx", 1)
	neighbour := open(t, cfg2)
	names := []string{"user:1", "user:{2}", "user:100%", "user:*", "other"}
	for _, cl := range []*conn.Client{c, neighbour} {
		for _, n := range names {
			must(t, cl.Do(t.Context(), cl.B().Set().Key(cl.Keyspace("ns").Key(n)).Value(n).Ex(time.Minute).Build()).Error())
		}
	}
	found := func(pattern string) (got []string) {
		raw, err := c.Raw(t.Context())
		must(t, err)
		for addr, node := range raw.Nodes() {
			var cursor uint64
			for {
				e, err := node.Do(t.Context(), node.B().Scan().Cursor(cursor).Match(pattern).Count(1000).Build()).AsScanEntry()
				if err != nil {
					t.Fatalf("%s: %v", addr, err)
				}
				for _, k := range e.Elements {
					name, ok := c.Keyspace("ns").Name(k)
					if !ok {
						t.Errorf("found %q, which is not ours", k)
					}
					got = append(got, name)
				}
				if cursor = e.Cursor; cursor == 0 {
					break
				}
			}
		}
		slices.Sort(got)
		return slices.Compact(got) // replicas hold the same keys
	}
	want := slices.Clone(names)
	slices.Sort(want)
	if d := cmp.Diff(want, found(c.Keyspace("ns").Pattern("*"))); d != "" {
		t.Errorf("all (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"user:100%", "user:{2}"}, found(c.Keyspace("ns").Pattern("user:*[}%0-9][5D]"))); d != "" {
		t.Logf("a class (-want +got):\n%s", d) // classes see the escaped form: documented, not promised
	}
	if d := cmp.Diff([]string{"user:{2}"}, found(c.Keyspace("ns").Pattern("user:{2}"))); d != "" {
		t.Errorf("braces (-want +got):\n%s", d)
	}
}

// The Observer is told of each operation, with its outcome, and its panic harms
// nobody.
func TestAnyObserver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	cfg := anyConfig(t)
	cfg.Observer = conn.ObserverFunc(func(_ context.Context, e conn.Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %s %s %d", e.Module, e.Op, e.Outcome, e.Count))
		if e.Duration <= 0 || e.Start.IsZero() {
			t.Errorf("%+v has no time", e)
		}
		panic("an observer's fault")
	})
	c := open(t, cfg)
	k := c.Keyspace("o").Key("k")
	_ = c.Do(t.Context(), c.B().Get().Key(k).Build())
	_ = c.Do(t.Context(), c.B().Set().Key(k).Value("v").Ex(time.Minute).Build())
	_ = c.Do(t.Context(), c.B().Incr().Key(k).Build())
	_ = c.DoMulti(t.Context(), c.B().Get().Key(k).Build(), c.B().Get().Key(k).Build())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.Do(ctx, c.B().Get().Key(k).Build())
	want := []string{"conn GET miss 1", "conn SET ok 1", "conn INCR error 1", "conn pipeline ok 2", "conn GET canceled 1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if n := c.Stats().ObserverPanics; n != int64(len(want)) {
		t.Errorf("%d panics counted", n)
	}
}

// Commands that change the shared connection are refused before they are sent;
// a transaction goes as one pipeline; and what the raw client does to the
// connection all the same is found and undone.
func TestAnySharedConnectionIsSafe(t *testing.T) {
	t.Parallel()
	cfg := anyConfig(t)
	cfg.ProbeInterval = 100 * time.Millisecond
	c := open(t, cfg)
	ctx := t.Context()
	k := c.Keyspace("tx").Key("k")
	for _, cmd := range []rueidis.Completed{
		c.B().Multi().Build(), c.B().Exec().Build(), c.B().Select().Index(1).Build(), c.B().Watch().Key(k).Build(),
		c.B().Subscribe().Channel("x").Build(), c.B().Auth().Password("x").Build(), c.B().Arbitrary("monitor").Build(),
		c.B().ClientReply().Off().Build(), c.B().Quit().Build(), c.B().Arbitrary("reset").Build(),
	} {
		if err := c.Do(ctx, cmd).Error(); !errors.Is(err, conn.ErrInvalidArgument) {
			t.Errorf("not refused: %v", err)
		}
	}
	res := c.DoMulti(ctx, c.B().Set().Key(k).Value("1").Ex(time.Minute).Build(), c.B().Multi().Build())
	if err := res[0].Error(); !errors.Is(err, conn.ErrInvalidArgument) {
		t.Errorf("half a transaction: %v", err)
	}
	res = c.DoMulti(ctx, c.B().Multi().Build(), c.B().Set().Key(k).Value("5").Ex(time.Minute).Build(), c.B().Incr().Key(k).Build(), c.B().Exec().Build())
	got, err := res[3].ToArray()
	if err != nil || len(got) != 2 {
		t.Fatalf("a transaction: %v, %v", got, err)
	}
	if n, err := got[1].AsInt64(); n != 6 || err != nil {
		t.Errorf("INCR in it: %d, %v", n, err)
	}
	if c.Mode() != conn.ModeStandalone {
		return // which node a command without a key goes to is rueidis' choice
	}
	raw, err := c.Raw(ctx)
	must(t, err)
	w := watch(t, c)
	must(t, raw.Do(ctx, raw.B().Multi().Build()).Error())
	down := w.await(t, conn.Reconnecting, 5*time.Second)
	w.await(t, conn.Connected, 5*time.Second)
	t.Log(down.Cause)
	if s, err := c.Do(ctx, c.B().Get().Key(k).Build()).ToString(); s != "6" || err != nil {
		t.Errorf("afterwards GET gives %q, %v", s, err)
	}
}
