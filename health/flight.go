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
	began  time.Time
	done   chan struct{}
	result T // written before done is closed
}

// do returns the result of run, or of a run for the same name that is under way
// already, and when that began; false when ctx ended first. run gets a context
// of its own, which ends after limit, as it may serve others too.
func (f *flights[T]) do(ctx context.Context, name string, limit time.Duration, run func(context.Context) T) (result T, began time.Time, ok bool) {
	f.mu.Lock()
	fl := f.current[name]
	if fl == nil {
		fl = &flight[T]{began: time.Now(), done: make(chan struct{})}
		if f.current == nil {
			f.current = map[string]*flight[T]{}
		}
		f.current[name] = fl
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
			defer cancel()
			fl.result = run(ctx)
			f.mu.Lock()
			delete(f.current, name)
			f.mu.Unlock()
			close(fl.done)
		}()
	}
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.result, fl.began, true
	case <-ctx.Done():
		return result, fl.began, false
	}
}
