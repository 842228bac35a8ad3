package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/lock"
)

// One does the work; whoever comes meanwhile is told, and does something else.
func Example() {
	ctx := context.Background()
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	c, err := conn.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	locks, err := lock.New(c, lock.Options{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := locks.TryAcquire(ctx, "example-report", 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	_, err = locks.TryAcquire(ctx, "example-report", 10*time.Second)
	fmt.Println("another one is refused:", errors.Is(err, lock.ErrHeld))

	// The work goes here, under l.Context(), which ends before the lock does.
	fmt.Println("still mine:", l.Context().Err() == nil)

	if err := l.Release(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("over:", l.Context().Err() != nil)
	// Output:
	// another one is refused: true
	// still mine: true
	// over: true
}
