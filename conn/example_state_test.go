package conn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Be told when Redis goes away and comes back. The listener of a lazy Client
// sees all of its life.
func ExampleClient_OnStateChange() {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.Lazy = true
	ctx := context.Background()
	c, err := conn.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	remove := c.OnStateChange(func(s conn.StateChange) {
		fmt.Println(s.From, "to", s.To)
		if s.Cause != nil {
			log.Print(s.Cause)
		}
	})
	defer remove()

	if err := c.Do(ctx, c.B().Ping().Build()).Error(); err != nil {
		log.Print(err)
	}
	// Close ends calls and connections, and waits for listeners.
	if err := c.Close(ctx); err != nil {
		log.Print(err)
	}
	// Output:
	// disconnected to connecting
	// connecting to connected
	// connected to end
}

// Try again what can help, and only what may be applied twice where nobody can
// know whether it was.
func ExampleRetry() {
	decide := func(err error, idempotent bool) string {
		switch conn.Retry(err) {
		case conn.RetryOK:
			return "try again"
		case conn.RetryIfIdempotent:
			if idempotent {
				return "try again"
			}
			return "find out what happened"
		default:
			return "give up"
		}
	}
	refused := &conn.Error{Op: "INCR", Kinds: []error{conn.ErrNotConnected, conn.ErrRefused}}
	lost := &conn.Error{Op: "INCR", Kinds: []error{conn.ErrUnknownOutcome, conn.ErrConnectionLost}}
	denied := &conn.Error{Op: "INCR", Kinds: []error{conn.ErrPermission}}

	fmt.Println(decide(refused, false))
	fmt.Println(decide(lost, true))
	fmt.Println(decide(lost, false))
	fmt.Println(decide(denied, true))
	fmt.Println(errors.Is(lost, conn.ErrUnknownOutcome))
	// Output:
	// try again
	// try again
	// find out what happened
	// give up
	// true
}

// Two parts of a program that do not know each other share one connection.
func ExampleShared() {
	ctx := context.Background()
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := conn.Shared(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	limits, err := conn.Shared(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}

	_ = sessions.Close(ctx)
	fmt.Println(limits.State()) // the other one still uses it
	_ = limits.Close(ctx)       // the last one closes the connection
	fmt.Println(limits.State())
	// Output:
	// connected
	// end
}

// Every call, for metrics or traces.
func ExampleObserver() {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.Observer = conn.ObserverFunc(func(_ context.Context, e conn.Event) {
		if e.Duration > time.Minute {
			log.Print("slow: ", e.Op)
		}
		fmt.Println(e.Module, e.Op, e.Outcome, e.Count)
	})
	ctx := context.Background()
	c, err := conn.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	key := c.Keyspace("example-observer").Key("k")
	c.Do(ctx, c.B().Set().Key(key).Value("v").Ex(time.Minute).Build())
	c.Do(ctx, c.B().Get().Key(key+"-missing").Build())
	c.DoMulti(ctx, c.B().Get().Key(key).Build(), c.B().Del().Key(key).Build())
	// Output:
	// conn SET ok 1
	// conn GET miss 1
	// conn pipeline ok 2
}
