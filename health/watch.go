package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relay-platform/redis/conn"
)

// minPause keeps a connection whose state changes often from turning into a
// storm of checks.
const minPause = 100 * time.Millisecond

// maxChanges is how many changes wait for an OnChange that is slow.
const maxChanges = 64

// WatchOptions say how often to check, and whom to tell. At least one of the
// callbacks must be set.
//
// Each callback runs on a goroutine of its own, one call at a time: one that is
// slow delays neither the checks nor the other callback. A panic in it is
// recovered, counted in WatchStats, and reported to conn.Config.Observer. ctx
// ends when Stop is called.
type WatchOptions struct {
	// Interval is the time from one check to the next, give or take a tenth, so
	// that processes that started together do not stay in step. When the
	// connection's state changes the next check comes at once. Zero means
	// DefaultInterval (10 s).
	Interval time.Duration

	// OnResult gets each result. While it is running, only the newest result
	// waits for it; the others are counted in WatchStats.Skipped.
	OnResult func(ctx context.Context, r Result)

	// OnChange gets the result whose Status or Reason differs from the one
	// before it, and that one. The first result is a change from the zero
	// Result, whose Status is empty. Changes come in order; when more than 64
	// wait the oldest is dropped and counted in WatchStats.Skipped.
	OnChange func(ctx context.Context, before, now Result)
}

// WatchStats are the counters of a Watcher.
type WatchStats struct {
	Checks  int64 // made
	Changes int64 // of Status or Reason, the first result included
	Skipped int64 // results and changes that a slow callback did not get
	Panics  int64 // recovered in callbacks
}

// Watcher checks periodically until Stop. It is safe for concurrent use.
type Watcher struct {
	k      *Checker
	opts   WatchOptions
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // buffered: check at once
	done   chan struct{} // closed when every goroutine has ended

	checks, changes, skipped, panics atomic.Int64
}

// watcherKey marks the contexts that callbacks of a Watcher get.
type watcherKey struct{ w *Watcher }

// Watch checks at once and then periodically, until Stop. It returns a
// *conn.ArgumentError for WatchOptions that cannot be used.
func (k *Checker) Watch(opts WatchOptions) (*Watcher, error) {
	switch {
	case opts.Interval == 0:
		opts.Interval = DefaultInterval
	case opts.Interval < time.Millisecond:
		return nil, optionError("WatchOptions.Interval", "%v is less than a millisecond; zero means %v", opts.Interval, DefaultInterval)
	}
	if opts.OnResult == nil && opts.OnChange == nil {
		return nil, optionError("WatchOptions.OnChange", "is nil, and so is OnResult: set one of them")
	}
	w := &Watcher{k: k, opts: opts, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w, nil
}

// Stop ends the checks and returns when the callbacks that are running have
// returned; no other begins. When ctx ends first it returns ctx's error, and
// the rest ends by itself. Called from a callback, with the context that it was
// given, it does not wait for that callback. A second Stop does the same.
func (w *Watcher) Stop(ctx context.Context) error {
	w.cancel()
	if ctx.Value(watcherKey{w}) != nil {
		return nil
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the counters.
func (w *Watcher) Stats() WatchStats {
	return WatchStats{Checks: w.checks.Load(), Changes: w.changes.Load(), Skipped: w.skipped.Load(), Panics: w.panics.Load()}
}

func (w *Watcher) run() {
	defer close(w.done)
	remove := w.k.src.onState(func(conn.StateChange) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	})
	defer remove()
	ctx := context.WithValue(w.ctx, watcherKey{w}, true)
	results := newMailbox(w, 1, func(p pair) { w.opts.OnResult(ctx, p.now) })
	changes := newMailbox(w, maxChanges, func(p pair) { w.opts.OnChange(ctx, p.before, p.now) })
	defer results.running.Wait()
	defer changes.running.Wait()

	var before Result
	for w.ctx.Err() == nil {
		began := time.Now()
		r := w.k.Check(w.ctx)
		if w.ctx.Err() != nil {
			return // given up by Stop: it says nothing
		}
		w.checks.Add(1)
		if w.opts.OnResult != nil {
			results.put(pair{now: r})
		}
		if r.Status != before.Status || r.Reason != before.Reason {
			w.changes.Add(1)
			if w.opts.OnChange != nil {
				changes.put(pair{before, r})
			}
			before = r
		}
		if !w.pause(began) {
			return
		}
	}
}

// pause waits for the next check; false when there is none.
func (w *Watcher) pause(began time.Time) bool {
	d := w.opts.Interval
	d += rand.N(d/5+1) - d/10 //nolint:gosec // jitter is no secret
	least := min(minPause, d)
	select {
	case <-time.After(time.Until(began.Add(least))):
	case <-w.ctx.Done():
		return false
	}
	select {
	case <-w.wake:
	case <-time.After(time.Until(began.Add(d))):
	case <-w.ctx.Done():
		return false
	}
	return true
}

// pair is what callbacks are told of.
type pair struct{ before, now Result }

// mailbox delivers to one callback, in order. It owns a goroutine only while it
// holds something.
type mailbox struct {
	w       *Watcher
	most    int // that wait, beside the one that is being delivered
	fn      func(pair)
	running sync.WaitGroup

	mu     sync.Mutex
	queue  []pair
	active bool
}

func newMailbox(w *Watcher, most int, fn func(pair)) *mailbox {
	return &mailbox{w: w, most: most, fn: fn}
}

func (m *mailbox) put(p pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == m.most {
		m.queue = m.queue[1:]
		m.w.skipped.Add(1)
	}
	m.queue = append(m.queue, p)
	if !m.active {
		m.active = true
		m.running.Go(m.deliver)
	}
}

func (m *mailbox) deliver() {
	for {
		m.mu.Lock()
		if len(m.queue) == 0 || m.w.ctx.Err() != nil {
			m.active, m.queue = false, nil
			m.mu.Unlock()
			return
		}
		p := m.queue[0]
		m.queue = m.queue[1:]
		m.mu.Unlock()
		m.call(p)
	}
}

func (m *mailbox) call(p pair) {
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			m.w.panics.Add(1)
			m.w.k.reportPanic(v, start)
		}
	}()
	m.fn(p)
}
