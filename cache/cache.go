package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// DefaultTTL is how long an entry lives where Options.TTL is zero.
const DefaultTTL = time.Hour

// ErrMiss is returned by Get when there is no entry: it was never set, was
// deleted, or its TTL is over.
var ErrMiss = errors.New("cache: miss")

// Options are the optional settings of a [Cache]. The zero value is useful.
type Options struct {
	// TTL is how long an entry lives after Set, in steps of a millisecond. Zero
	// means DefaultTTL (1 h). Negative or less than a millisecond is an error:
	// no entry lives for ever.
	TTL time.Duration
}

// Cache keeps values of type V in Redis. It is safe for concurrent use and
// holds nothing that has to be closed. Make one with [New].
type Cache[V any] struct {
	c     *conn.Client
	keys  conn.Keyspace
	ttl   time.Duration
	codec codec[V]
}

// New returns the cache of values of type V in a namespace, such as "user". Two
// namespaces never share an entry; two caches of one namespace share them all,
// and should have the same V.
//
// V can be string or []byte, which are stored as they are, or any type that
// encoding/json can encode. New does not talk to Redis. Bad input is an
// *conn.ArgumentError.
func New[V any](c *conn.Client, namespace string, opts Options) (*Cache[V], error) {
	if c == nil {
		return nil, invalid("client", "is nil: pass what conn.Open returned")
	}
	if err := conn.CheckName("namespace", namespace); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	switch {
	case opts.TTL == 0:
		opts.TTL = DefaultTTL
	case opts.TTL < time.Millisecond:
		return nil, invalid("Options.TTL", fmt.Sprintf("%v is less than a millisecond; zero means %v", opts.TTL, DefaultTTL))
	}
	return &Cache[V]{c: c, keys: c.Keyspace("cache", namespace), ttl: opts.TTL, codec: codecOf[V]()}, nil
}

// Get returns the value of a key, or ErrMiss. On any error the value is the
// zero value of V. A value that is not a V, because something else wrote it, is
// an error that is not ErrMiss.
func (c *Cache[V]) Get(ctx context.Context, key string) (V, error) {
	start := time.Now()
	v, err := c.get(ctx, key)
	return v, c.done(ctx, "get", key, start, err)
}

func (c *Cache[V]) get(ctx context.Context, key string) (v V, _ error) {
	k, err := c.key(key)
	if err != nil {
		return v, err
	}
	data, err := c.c.Do(ctx, c.c.B().Get().Key(k).Build()).ToString()
	if conn.OutcomeOf(err) == conn.OutcomeMiss {
		return v, ErrMiss
	}
	if err != nil {
		return v, err
	}
	return c.codec.decode(data)
}

// Set stores a value under a key for the cache's TTL, in place of what was
// there. A value that cannot be encoded is an *conn.ArgumentError. After
// conn.ErrUnknownOutcome the entry may hold the old value or the new one; after
// other errors it is unchanged.
func (c *Cache[V]) Set(ctx context.Context, key string, value V) error {
	start := time.Now()
	return c.done(ctx, "set", key, start, c.set(ctx, key, value))
}

func (c *Cache[V]) set(ctx context.Context, key string, value V) error {
	k, err := c.key(key)
	if err != nil {
		return err
	}
	data, err := c.codec.encode(value)
	if err != nil {
		return &conn.ArgumentError{Name: "value", Problem: fmt.Sprintf("cannot be encoded: %v", err)}
	}
	return c.c.Do(ctx, c.c.B().Set().Key(k).Value(data).Px(c.ttl).Build()).Error()
}

// Delete removes the entry of a key. It is no error if there is none. After
// conn.ErrUnknownOutcome the entry may be gone or not; after other errors it is
// unchanged.
func (c *Cache[V]) Delete(ctx context.Context, key string) error {
	start := time.Now()
	return c.done(ctx, "delete", key, start, c.delete(ctx, key))
}

func (c *Cache[V]) delete(ctx context.Context, key string) error {
	k, err := c.key(key)
	if err != nil {
		return err
	}
	return c.c.Do(ctx, c.c.B().Del().Key(k).Build()).Error()
}

// key returns the key in Redis.
func (c *Cache[V]) key(key string) (string, error) {
	if err := conn.CheckName("key", key); err != nil {
		return "", err
	}
	k := c.keys.Key(key)
	if len(k) > conn.MaxKey { // prefix, namespace and escapes add to it
		return "", &conn.ArgumentError{Name: "key", Problem: fmt.Sprintf("makes a Redis key of %d bytes, more than %d", len(k), conn.MaxKey)}
	}
	return k, nil
}

// done tells the Observer of an operation, and returns its error with what it
// was about. Events have Module "cache", Op get, set or delete, and Outcome miss
// for ErrMiss.
func (c *Cache[V]) done(ctx context.Context, op, key string, start time.Time, err error) error {
	if err != nil {
		err = &opError{op: op, key: key, err: err}
	}
	if c.c.Observed() {
		e := conn.Event{Module: "cache", Op: op, Start: start, Duration: time.Since(start), Source: "remote", Err: err}
		if errors.Is(err, ErrMiss) {
			e.Outcome, e.Err = conn.OutcomeMiss, nil
		}
		c.c.Observe(ctx, e)
	}
	return err
}
