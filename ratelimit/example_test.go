package ratelimit_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/ratelimit"
)

// Two attempts to log in per second, and not three.
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

	logins, err := ratelimit.New(c, "example-login", ratelimit.Options{
		Limit: ratelimit.Limit{Max: 2, Window: time.Second},
	})
	if err != nil {
		log.Fatal(err)
	}
	user := fmt.Sprint("ada-", time.Now().UnixNano())
	for range 3 {
		r, err := logins.Consume(ctx, user)
		if err != nil {
			log.Fatal(err) // or let the user in: a limiter that fails open
		}
		fmt.Println(r.Allowed, r.Remaining, r.RetryAfter > 0)
	}
	// Output:
	// true 1 false
	// true 0 false
	// false 0 true
}
