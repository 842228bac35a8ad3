// Command demo shows on a real Redis what the modules do: it connects, caches a
// value, keeps a session, limits a caller, takes a lock and checks the health,
// and says what each step took and proved. It uses the Redis of REDIS_URL, or
// one that it starts, and leaves nothing behind on either.
//
//	go run ./internal/demo     or     make demo
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the steps and begins the clean-up, a second one
	// ends the program.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interrupted is the exit code of a program that Ctrl-C ended.
const interrupted = 130

// run runs the demo and returns its exit code.
func run(ctx context.Context, out, errOut io.Writer) int {
	fmt.Fprintln(out, "Relay Redis: what the modules do, shown on a Redis server.")
	fmt.Fprintln(out)
	s, err := findServer(ctx)
	left := ""
	if err == nil {
		fmt.Fprintf(out, "Server: %s\n\n", s.what)
		d := &demo{out: out, server: s}
		err = d.steps(ctx)
		// Also after a failure and after Ctrl-C, which ended ctx.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		var cleanErr error
		if left, cleanErr = d.cleanUp(cleaning); cleanErr != nil {
			fmt.Fprintf(errOut, "\nThe demo could not clean up: %v\n", cleanErr)
			left = ""
			err = cmp.Or(err, cleanErr)
		}
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "\nStopped.", left)
		return interrupted
	case err != nil:
		fmt.Fprintf(errOut, "\nThe demo failed: %v\n", err)
		if h := hint(err, s); h != "" {
			fmt.Fprintln(errOut, "What to do:", h)
		}
		return 1
	}
	fmt.Fprintf(out, "\nAll of it worked. %s\n\n%s", left, readNext)
	return 0
}

const readNext = `Read next:
  README.md                             what there is, and a whole program to start from
  internal/demo/quickstart/main.go      that program:  go run ./internal/demo/quickstart
  internal/demo/steps.go                the code of the steps above
  go doc github.com/relay-platform/redis/conn    (or cache, session, ratelimit, lock, health …)
  make test                             the proof, on every server that we support
`
