package health

import (
	"context"
	"sync"
	"time"
)

// flights lets those who ask the same thing at the same time share one question,
// so that neither a storm of checks nor a frozen server collects goroutines: a
// question that is stuck is not asked a second time.
type flights[T any] struct {
	mu      sync.Mutex
	current map[string]*flight[T]
}

type flight[T any] struct {
	began   time.Time
	cancel  context.CancelFunc
	waiters int // over it: flights.mu
	done    chan struct{}
	result  T // written before done is closed
}

// do returns the result of run, or of a run for the same name that is under way
// already, and when that began; false when ctx ended first. The context of run
// is not the caller's, as it may serve others too: it ends after limit, or when
// nobody waits any more. Who joins at that very moment gets the result of a run
// that was cancelled.
func (f *flights[T]) do(ctx context.Context, name string, limit time.Duration, run func(context.Context) T) (result T, began time.Time, ok bool) {
	f.mu.Lock()
	fl := f.current[name]
	if fl == nil {
		fl = f.start(ctx, name, limit, run)
	}
	fl.waiters++
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.result, fl.began, true
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiters--; fl.waiters == 0 {
		fl.cancel()
	}
	return result, fl.began, false
}

func (f *flights[T]) start(ctx context.Context, name string, limit time.Duration, run func(context.Context) T) *flight[T] {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	fl := &flight[T]{began: time.Now(), cancel: cancel, done: make(chan struct{})}
	if f.current == nil {
		f.current = map[string]*flight[T]{}
	}
	f.current[name] = fl
	go func() {
		defer cancel()
		fl.result = run(ctx)
		f.mu.Lock()
		delete(f.current, name)
		f.mu.Unlock()
		close(fl.done)
	}()
	return fl
}
