package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
)

// Read through a cache: look there first, and fill it on a miss.
func Example() {
	type User struct{ Name string }
	load := func(id string) User { // a database, say
		fmt.Println("loading", id)
		return User{Name: "Ada"}
	}

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

	users, err := cache.New[User](c, "example-user", cache.Options{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer users.Delete(ctx, "42")

	for range 2 {
		u, err := users.Get(ctx, "42")
		if errors.Is(err, cache.ErrMiss) {
			u = load("42")
			err = users.Set(ctx, "42", u)
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("hello", u.Name)
	}
	// Output:
	// loading 42
	// hello Ada
	// hello Ada
}
