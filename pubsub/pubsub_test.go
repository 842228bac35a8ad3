package pubsub_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/pubsub"
)

func TestRefusesBadInput(t *testing.T) {
	t.Parallel()
	_, err := pubsub.New(nil, pubsub.Options{})
	wantArgument(t, "nil client", err, "client")

	p, err := pubsub.New(unused(t), pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handler := func(context.Context, pubsub.Message[any]) error { return nil }
	for name, channel := range map[string]string{"no channel": "", "long channel": strings.Repeat("c", conn.MaxKey), "channel that is long once escaped": strings.Repeat("{", conn.MaxKey/2)} {
		_, err = pubsub.Publish(t.Context(), p, channel, 1)
		wantArgument(t, name+": Publish", err, "channel")
		_, err = pubsub.Subscribe(t.Context(), p, channel, handler, pubsub.SubscribeOptions{})
		wantArgument(t, name+": Subscribe", err, "channel")
	}
	_, err = pubsub.Publish(t.Context(), p, "c", math.NaN())
	wantArgument(t, "no JSON", err, "payload")
	s, err := pubsub.Subscribe[any](t.Context(), p, "c", nil, pubsub.SubscribeOptions{})
	wantArgument(t, "no handler", err, "handler")
	if s != nil {
		t.Error("a subscription beside the error")
	}
	_, err = pubsub.Subscribe(t.Context(), p, "c", handler, pubsub.SubscribeOptions{QueueSize: -1})
	wantArgument(t, "negative queue", err, "SubscribeOptions.QueueSize")
}
