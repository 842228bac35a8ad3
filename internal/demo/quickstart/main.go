// Command quickstart is a whole program to start from.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/ratelimit"
)

type User struct{ Name string }

func main() {
	ctx := context.Background()

	cfg, err := conn.FromEnv() // REDIS_URL and its kin; localhost:6379 where unset
	if err != nil {
		log.Fatal(err)
	}
	c, err := conn.Open(ctx, cfg) // one for the whole process
	if err != nil {
		log.Fatal(err) // which address, and why
	}

	users, err := cache.New[User](c, "quickstart-user", cache.Options{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	requests, err := ratelimit.New(c, "quickstart", ratelimit.Options{
		Limit: ratelimit.Limit{Max: 3, Window: time.Second},
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 4 {
		r, err := requests.Consume(ctx, "203.0.113.7") // who asks
		if err != nil {
			log.Fatal(err)
		}
		if !r.Allowed {
			fmt.Println("too many requests")
			continue
		}
		u, err := users.Get(ctx, "42")
		if errors.Is(err, cache.ErrMiss) {
			u = User{Name: "Ada"} // from your database
			err = users.Set(ctx, "42", u)
			fmt.Println("loaded", u.Name)
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("hello", u.Name)
	}
	if err := c.Close(ctx); err != nil { // lets calls under way end
		log.Fatal(err)
	}
}
