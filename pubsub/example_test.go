package pubsub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/pubsub"
)

// One part of a system tells the others what happened.
func Example() {
	type Order struct{ Number int }

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

	p, err := pubsub.New(c, pubsub.Options{Source: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	got := make(chan struct{})
	sub, err := pubsub.Subscribe(ctx, p, "example-orders", func(_ context.Context, m pubsub.Message[Order]) error {
		fmt.Println(m.Source, "sold order", m.Payload.Number)
		close(got)
		return nil
	}, pubsub.SubscribeOptions{
		OnGap:   func(context.Context) { log.Print("messages may be missing: reload") },
		OnError: func(err error) { log.Print(err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close(ctx)

	if _, err := pubsub.Publish(ctx, p, "example-orders", Order{Number: 42}); err != nil {
		log.Fatal(err)
	}
	<-got
	// Output:
	// shop sold order 42
}
