// A user of conn alone: without a server, what can be right or wrong is the
// configuration, the refusal of an address where nothing listens, and the keys.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/relay-platform/redis/conn"
)

func main() {
	ctx := context.Background()

	_, err := conn.Open(ctx, conn.Config{URL: "redis://localhost:6379/?colour=red"})
	if !errors.Is(err, conn.ErrInvalidArgument) {
		log.Fatalf("an unknown parameter of the URL: got %v, want ErrInvalidArgument", err)
	}
	fmt.Println("bad configuration:", err)

	_, err = conn.Open(ctx, conn.Config{Addrs: []string{unusedAddr()}, ConnectTimeout: 5 * time.Second})
	if !errors.Is(err, conn.ErrRefused) {
		log.Fatalf("a port where nothing listens: got %v, want ErrRefused", err)
	}
	fmt.Println("no server: refused, as it should be")

	c, err := conn.Open(ctx, conn.Config{Lazy: true, KeyPrefix: "app:"})
	if err != nil {
		log.Fatalf("lazy: %v", err)
	}
	if a, b := c.Keyspace("users").Key("a"), c.Keyspace("users").Key("b"); a == b {
		log.Fatalf("two names gave the same key %q", a)
	}
	if err := c.Close(ctx); err != nil {
		log.Fatalf("close: %v", err)
	}
}

// unusedAddr returns a loopback address that just stopped listening.
func unusedAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
