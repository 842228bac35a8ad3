package integration_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/internal/redistest"
	"github.com/relay-platform/redis/ratelimit"
)

func newLimiter(tb testing.TB, c *conn.Client, action string, limit int, window time.Duration) *ratelimit.Limiter {
	tb.Helper()
	l, err := ratelimit.New(c, action, ratelimit.Options{Limit: ratelimit.Limit{Max: limit, Window: window}})
	must(tb, err)
	return l
}

func consume(tb testing.TB, l *ratelimit.Limiter, identifier string, opts ...ratelimit.Option) ratelimit.Result {
	tb.Helper()
	r, err := l.Consume(tb.Context(), identifier, opts...)
	must(tb, err)
	return r
}

// Up to the limit, then no more; what was denied is not charged.
func TestAnyRatelimitConsume(t *testing.T) {
	t.Parallel()
	c := open(t, anyConfig(t))
	see := oracle(t, c)
	l := newLimiter(t, c, "login", 3, time.Minute)
	for i := range 3 {
		r := consume(t, l, "ada")
		if !r.Allowed || r.Remaining != 2-i || r.RetryAfter != 0 || r.Limit.Max != 3 {
			t.Errorf("call %d: %+v", i, r)
		}
		// A window, and the step that has begun.
		if r.ResetAfter < time.Minute || r.ResetAfter > 65*time.Second {
			t.Errorf("call %d: reset after %v", i, r.ResetAfter)
		}
	}
	key := c.Keyspace("ratelimit").Tagged("ada", "login", "1m0s")
	before, err := see.Get(t.Context(), key).Result()
	must(t, err)
	for range 100 {
		if r := consume(t, l, "ada"); r.Allowed || r.Remaining != 0 || r.RetryAfter <= 0 || r.RetryAfter > 65*time.Second {
			t.Fatalf("beyond the limit: %+v", r)
		}
	}
	if after, err := see.Get(t.Context(), key).Result(); after != before || err != nil {
		t.Errorf("denied calls changed the record from %q to %q, %v", before, after, err)
	}
	if ttl, err := see.PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 || ttl > 66*time.Second {
		t.Errorf("the TTL is %v, %v", ttl, err)
	}
	must(t, see.PExpire(t.Context(), key, 30*time.Second).Err()) // shows who writes
	if r := consume(t, l, "ada"); r.Allowed {
		t.Errorf("beyond the limit: %+v", r)
	}
	if ttl, err := see.PTTL(t.Context(), key).Result(); err != nil || ttl > 30*time.Second {
		t.Errorf("a denied call has written: the TTL is %v, %v", ttl, err)
	}
	// Another identifier, action or window has counters of its own.
	for name, r := range map[string]ratelimit.Result{
		"identifier": consume(t, l, "bob"),
		"action":     consume(t, newLimiter(t, c, "mail", 3, time.Minute), "ada"),
		"window":     consume(t, l, "ada", ratelimit.WithLimit(ratelimit.Limit{Max: 3, Window: time.Hour})),
	} {
		if !r.Allowed || r.Remaining != 2 {
			t.Errorf("another %s: %+v", name, r)
		}
	}
	// Another limit of the same window is held against the same counters.
	if r := consume(t, l, "ada", ratelimit.WithLimit(ratelimit.Limit{Max: 5, Window: time.Minute})); !r.Allowed || r.Remaining != 1 || r.Limit.Max != 5 {
		t.Errorf("a higher limit: %+v", r)
	}
	if r := consume(t, l, "ada"); r.Allowed || r.Remaining != 0 {
		t.Errorf("the lower limit after that: %+v", r)
	}
}

// A cost is taken as a whole or not at all.
func TestAnyRatelimitCost(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, open(t, anyConfig(t)), "bytes", ratelimit.MaxPerWindow, time.Minute)
	const most = ratelimit.MaxPerWindow
	if r := consume(t, l, "a", ratelimit.WithCost(most-5)); !r.Allowed || r.Remaining != 5 {
		t.Errorf("a great cost: %+v", r)
	}
	if r := consume(t, l, "a", ratelimit.WithCost(6)); r.Allowed || r.Remaining != 5 {
		t.Errorf("one too many: %+v", r)
	}
	if r := consume(t, l, "a", ratelimit.WithCost(5)); !r.Allowed || r.Remaining != 0 {
		t.Errorf("what is left: %+v", r)
	}
	if r := consume(t, l, "a"); r.Allowed || r.RetryAfter <= 0 {
		t.Errorf("one more: %+v", r)
	}
}

// RetryAfter is when it works again.
func TestAnyRatelimitRetryAfter(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, open(t, anyConfig(t)), "a", 1, 300*time.Millisecond)
	for range 3 {
		if r := consume(t, l, "ada"); !r.Allowed {
			t.Fatalf("not allowed when it should: %+v", r)
		}
		r := consume(t, l, "ada")
		if r.Allowed || r.RetryAfter <= 0 || r.RetryAfter > 325*time.Millisecond {
			t.Fatalf("got %+v", r)
		}
		time.Sleep(r.RetryAfter) // what a caller does with it
	}
}

// The limit holds in every window, wherever it begins, for callers who do their
// worst: two processes' worth of clients that call all the time.
func TestAnyRatelimitNeverMore(t *testing.T) {
	t.Parallel()
	const (
		most   = 20
		window = 300 * time.Millisecond
	)
	cfg := anyConfig(t)
	type span struct{ sent, got time.Time }
	var mu sync.Mutex
	var admitted []span
	denied := 0
	var wg sync.WaitGroup
	end := time.Now().Add(5 * window)
	for range 2 {
		l := newLimiter(t, open(t, cfg), "a", most, window)
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(end) {
					sent := time.Now()
					r, err := l.Consume(t.Context(), "ada")
					got := time.Now()
					mu.Lock()
					switch {
					case err != nil:
						t.Error(err)
					case r.Allowed:
						admitted = append(admitted, span{sent, got})
					default:
						denied++
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	// The server counted each at some moment between sent and got. Those whose
	// spans lie in less than a window altogether were in one window for certain.
	worst := 0
	for _, first := range admitted {
		n := 0
		for _, a := range admitted {
			if !a.sent.Before(first.sent) && a.got.Sub(first.sent) < window {
				n++
			}
		}
		worst = max(worst, n)
	}
	t.Logf("%d admitted in 5 windows, %d denied, at most %d in one window of %v", len(admitted), denied, worst, window)
	if worst > most {
		t.Errorf("%d in one window, more than %d", worst, most)
	}
	// And it does admit: 5 windows hold 4 times a window and a step.
	if len(admitted) < 4*most || denied == 0 {
		t.Errorf("%d admitted, %d denied", len(admitted), denied)
	}
}

// event is something that was admitted, in the model.
type event struct{ at, cost int64 }

// limiterModel says what the script has to answer, by keeping every event: the
// time is cut in steps, and what happened up to 12 steps before the current one
// is counted.
type limiterModel struct {
	step   int64
	events []event
}

const modelSteps = 12

func (m *limiterModel) counted(now int64) (total int64) {
	for _, e := range m.events {
		if e.at/m.step >= now/m.step-modelSteps {
			total += e.cost
		}
	}
	return total
}

func (m *limiterModel) consume(now, most, cost int64) (want [4]int64) {
	allowed := m.counted(now)+cost <= most
	if allowed {
		m.events = append(m.events, event{now, cost})
		want[0] = 1
	}
	want[1] = m.counted(now)
	// The moments at which something may cease to count are the beginnings of steps.
	for k := int64(0); k <= modelSteps+1; k++ {
		at := now
		if k > 0 {
			at = (now/m.step + k) * m.step
		}
		if want[2] == 0 && m.counted(at) == 0 && at > now {
			want[2] = at - now
		}
		if want[3] == 0 && !allowed && m.counted(at)+cost <= most {
			want[3] = at - now
		}
	}
	return want
}

// mostIn returns the most that was admitted in any window (t-window, t].
func (m *limiterModel) mostIn(window int64) (worst int64) {
	for _, last := range m.events {
		var n int64
		for _, e := range m.events {
			if e.at > last.at-window && e.at <= last.at {
				n += e.cost
			}
		}
		worst = max(worst, n)
	}
	return worst
}

// clockedScript returns the limiter's script, with a clock that the test sets:
// TIME is the only thing that is replaced.
func clockedScript(tb testing.TB) *conn.Script {
	tb.Helper()
	source, err := os.ReadFile("../ratelimit/consume.lua")
	must(tb, err)
	const clock = "redis.call('TIME')"
	if n := strings.Count(string(source), clock); n != 1 {
		tb.Fatalf("the script asks for the time %d times, not once", n)
	}
	return conn.NewScript("test.consume", strings.Replace(string(source), clock, "{ ARGV[5], ARGV[6] }", 1))
}

// The script, run by a real server with a clock of the test's, does exactly what
// the model does, whatever the calls: in what it admits, what it says is left,
// and when it says that it will be otherwise.
func TestRatelimitIsTheModel(t *testing.T) {
	t.Parallel()
	c := open(t, conn.Config{URL: redistest.SharedStandalone(t, redistest.Options{}).URL(), KeyPrefix: newPrefix(t)})
	script := clockedScript(t)
	keys := c.Keyspace("model")
	round, calls, denials := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		key := keys.Key(itoa(round))
		// Steps of 5 s and more: the key's own TTL runs by the real clock, and must
		// not matter here.
		m := limiterModel{step: rapid.Int64Range(5_000_000, 9_000_000_000).Draw(rt, "step")}
		most := rapid.Int64Range(1, 30).Draw(rt, "max")
		now := int64(1_700_000_000_000_000) + rapid.Int64Range(0, m.step).Draw(rt, "start")
		for range rapid.IntRange(1, 60).Draw(rt, "calls") {
			// Within a step, a few steps, a window and more; and right at the edges.
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				now += rapid.Int64Range(0, m.step/10).Draw(rt, "wait")
			case 1:
				now += rapid.Int64Range(0, 3*m.step).Draw(rt, "wait")
			case 2:
				now += rapid.Int64Range(0, 15*m.step).Draw(rt, "wait")
			case 3:
				now = (now/m.step+rapid.Int64Range(1, 14).Draw(rt, "steps"))*m.step - 1
			case 4:
				now = (now/m.step + rapid.Int64Range(1, 14).Draw(rt, "steps")) * m.step
			}
			cost := rapid.Int64Range(1, most).Draw(rt, "cost")
			got, err := script.Run(t.Context(), c, []string{key}, []string{
				fmt.Sprint(most), fmt.Sprint(cost), fmt.Sprint(m.step), itoa(modelSteps), fmt.Sprint(now / 1e6), fmt.Sprint(now % 1e6),
			}).AsIntSlice()
			if err != nil {
				rt.Fatal(err)
			}
			want := m.consume(now, most, cost)
			if !slices.Equal(got, want[:]) {
				rt.Fatalf("allowed, counted, reset, retry are %v, not %v, with %v", got, want, m.events)
			}
			calls++
			if want[0] == 0 {
				denials++
			}
		}
		if worst := m.mostIn(modelSteps * m.step); worst > most {
			rt.Fatalf("%d in one window, more than %d: %v", worst, most, m.events)
		}
	})
	t.Logf("%d histories, %d calls, %d denied", round, calls, denials)
	if denials < calls/10 {
		t.Errorf("only %d of %d calls were denied: the histories are too tame", denials, calls)
	}
}

// When the server's clock steps back, what was consumed is counted as consumed
// then: nobody is locked out for longer than a window, and nobody gets more.
func TestRatelimitClockStepsBack(t *testing.T) {
	t.Parallel()
	c := open(t, conn.Config{URL: redistest.SharedStandalone(t, redistest.Options{}).URL(), KeyPrefix: newPrefix(t)})
	script := clockedScript(t)
	const step = int64(5_000_000)
	now := int64(1_700_000_000_000_000) / step * step
	call := func() []int64 {
		t.Helper()
		got, err := script.Run(t.Context(), c, []string{c.Keyspace("model").Key("k")}, []string{
			"2", "1", fmt.Sprint(step), itoa(modelSteps), fmt.Sprint(now / 1e6), fmt.Sprint(now % 1e6),
		}).AsIntSlice()
		must(t, err)
		return got
	}
	const window = (modelSteps + 1) * step
	call()
	if got := call(); got[0] != 1 {
		t.Fatalf("got %v", got)
	}
	now -= 1000 * step // an hour and more
	for range 3 {
		if got := call(); !slices.Equal(got, []int64{0, 2, window, window}) {
			t.Errorf("right after the step: %v", got)
		}
	}
	now += window - 1
	if got := call(); got[0] != 0 || got[3] != 1 {
		t.Errorf("a microsecond early: %v", got)
	}
	now++
	if got := call(); got[0] != 1 || got[1] != 1 {
		t.Errorf("a window after the step: %v", got)
	}
}

// A key does not grow with the calls.
func TestRatelimitMemory(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t, redistest.Options{})
	c := open(t, conn.Config{URL: s.URL(), KeyPrefix: newPrefix(t)})
	script := clockedScript(t)
	key := c.Keyspace("ratelimit").Tagged("user-00000000042", "login", "1m0s")
	const step = 5_000_000
	now := int64(1_700_000_000_000_000)
	var after int64
	for i := range 14 * 20 { // more than a window of it, a million units each time
		now += step / 20
		_, err := script.Run(t.Context(), c, []string{key}, []string{"1000000000000", "1000000", fmt.Sprint(step), itoa(modelSteps), fmt.Sprint(now / 1e6), fmt.Sprint(now % 1e6)}).AsIntSlice()
		must(t, err)
		used, err := s.Do(t.Context(), "MEMORY", "USAGE", key)
		must(t, err)
		n, ok := used.(int64)
		if !ok {
			t.Fatalf("MEMORY USAGE gave %v", used)
		}
		if after = max(after, n); i == 0 {
			t.Logf("%d bytes after the first call", n)
		}
	}
	t.Logf("%d bytes at most, with a key of %d", after, len(key))
	if after > 400+int64(len(key)) {
		t.Errorf("%d bytes", after)
	}
}

// A reply that is lost is no permission, and the call is not made twice.
func TestFaultRatelimitLostReply(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	c := open(t, conn.Config{Addrs: []string{p.Addr()}})
	l := newLimiter(t, c, "login", 5, time.Minute)
	consume(t, l, "warm-up")
	lost, err := p.SwallowReply(redistest.Command("EVALSHA"), true)
	must(t, err)
	r, err := l.Consume(t.Context(), "ada@example.org")
	if _, _, err := lost.Wait(timeout(t, 5*time.Second)); err != nil {
		t.Fatalf("the fault did not happen: %v", err)
	}
	if !errors.Is(err, conn.ErrUnknownOutcome) || r != (ratelimit.Result{}) {
		t.Errorf("got %+v, %v", r, err)
	}
	if err != nil && strings.Contains(err.Error(), "ada") {
		t.Errorf("the error names the caller: %v", err)
	}
	within(t, 5*time.Second, "connected again", func() bool {
		r, err = l.Consume(t.Context(), "ada@example.org")
		return err == nil
	})
	if r.Remaining != 3 {
		t.Errorf("after one lost call and one more %d are left of 5", r.Remaining)
	}
}

func TestAnyRatelimitIsObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{module: "ratelimit"}
	cfg := anyConfig(t)
	cfg.Observer = r
	l := newLimiter(t, open(t, cfg), "login", 1, time.Minute)
	consume(t, l, "ada")
	consume(t, l, "ada")
	_, _ = l.Consume(t.Context(), "")
	r.want(t, "consume:ok", "consume:denied", "consume:error")
}
