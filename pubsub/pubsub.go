package pubsub

import (
	"context"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Options are the optional settings of a [PubSub]. The zero value is useful.
type Options struct {
	// Source says in every message who published it, such as the name of the
	// service. Empty means that messages do not say.
	Source string
}

// PubSub publishes and subscribes: see [Publish] and [Subscribe]. It is safe for
// concurrent use. It holds nothing that has to be closed; subscriptions have to.
type PubSub struct {
	c      *conn.Client
	keys   conn.Keyspace
	source string
}

// New returns a PubSub. It does not talk to Redis. Bad input is an
// *conn.ArgumentError.
func New(c *conn.Client, opts Options) (*PubSub, error) {
	if c == nil {
		return nil, fmt.Errorf("pubsub: %w", &conn.ArgumentError{Name: "client", Problem: "is nil: pass what conn.Open returned"})
	}
	return &PubSub{c: c, keys: c.Keyspace("pubsub"), source: opts.Source}, nil
}

// channel returns the channel's name in Redis.
func (p *PubSub) channel(name string) (string, error) {
	if err := conn.CheckName("channel", name); err != nil {
		return "", err
	}
	ch := p.keys.Key(name)
	if len(ch) > conn.MaxKey { // prefix and escapes add to it
		return "", &conn.ArgumentError{Name: "channel", Problem: fmt.Sprintf("makes a Redis channel of %d bytes, more than %d", len(ch), conn.MaxKey)}
	}
	return ch, nil
}

// Publish sends a message to everybody who is subscribed to the channel now, and
// returns its ID. It does not tell whether anybody is. The payload is encoded by
// encoding/json; one that cannot be is an *conn.ArgumentError. After
// conn.ErrUnknownOutcome the message may have been sent; after other errors it
// was not.
func Publish[T any](ctx context.Context, p *PubSub, channel string, payload T, opts ...PublishOption) (id string, err error) {
	start := time.Now()
	id, err = publish(ctx, p, channel, payload, opts)
	return id, p.done(ctx, "publish", channel, start, err)
}

func publish[T any](ctx context.Context, p *PubSub, channel string, payload T, opts []PublishOption) (string, error) {
	ch, err := p.channel(channel)
	if err != nil {
		return "", err
	}
	id, text, err := seal(p.source, payload, opts)
	if err != nil {
		return "", &conn.ArgumentError{Name: "payload", Problem: fmt.Sprintf("cannot be encoded: %v", err)}
	}
	if err := p.c.Do(ctx, p.c.B().Publish().Channel(ch).Message(text).Build()).Error(); err != nil {
		return "", err
	}
	return id, nil
}
