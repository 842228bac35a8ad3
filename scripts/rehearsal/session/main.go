// A user of session alone. Without a server what can be wrong is refused, and what
// is right but cannot be reached says so; with one (REDIS_URL) it does its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/session"
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

	_, err = session.New[map[string]string](nil, session.Options{})
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
	sessions, err := session.New[map[string]string](c, session.Options{})
	if err != nil {
		return err
	}
	id, _, err := sessions.Create(ctx, "user-1", map[string]string{"role": "admin"})
	if err != nil {
		return err
	}
	if _, err := sessions.Get(ctx, id); err != nil {
		return err
	}
	return sessions.Delete(ctx, id)
}
