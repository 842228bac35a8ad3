// A user of health alone. Without a server what can be wrong is refused, and what
// is right but cannot be reached says so; with one (REDIS_URL) it does its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
)

func main() {
	ctx := context.Background()
	// Port 1 of loopback: nobody listens there.
	cfg := conn.Config{Addrs: []string{"127.0.0.1:1"}, Lazy: true, KeyPrefix: "rehearsal:"}
	url := os.Getenv("REDIS_URL")
	if url != "" {
		cfg = conn.Config{URL: url, KeyPrefix: "rehearsal:"}
	}
	c, err := conn.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	_, err = health.New(nil, health.Options{})
	if !errors.Is(err, conn.ErrInvalidArgument) {
		log.Fatalf("bad input: got %v, want ErrInvalidArgument", err)
	}
	fmt.Println("bad input:", err)

	err = use(ctx, c)
	switch {
	case url != "" && err != nil:
		log.Fatalf("with a server: %v", err)
	case url == "" && !errors.Is(err, conn.ErrNotConnected):
		log.Fatalf("without a server: got %v, want ErrNotConnected", err)
	}
	fmt.Println("used:", err)
}

func use(ctx context.Context, c *conn.Client) error {
	checker, err := health.New(c, health.Options{})
	if err != nil {
		return err
	}
	result := checker.Check(ctx)
	if result.Healthy {
		return nil
	}
	return result.Err
}
