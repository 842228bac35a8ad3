package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Defaults of the fields of [Options].
const (
	DefaultIdleTimeout = 30 * time.Minute
	DefaultLifetime    = 24 * time.Hour
)

// ErrNotFound is returned when there is no session with that ID: it never was,
// its time is over, it was deleted, or the ID cannot be one at all.
var ErrNotFound = errors.New("session: not found")

// Options are the optional settings of a [Store]. The zero value is useful.
type Options struct {
	// IdleTimeout is how long a session lives after Create or the last Touch.
	// Zero means DefaultIdleTimeout (30 min), or Lifetime if that is shorter.
	// Less than a second or more than Lifetime is an error.
	IdleTimeout time.Duration

	// Lifetime is how long a session lives after Create, however often it is
	// touched. Zero means DefaultLifetime (24 h). Less than a second or more
	// than ten years is an error.
	Lifetime time.Duration
}

// Session is what is known of a session.
type Session[M any] struct {
	User     string // as given to Create
	Metadata M      // as given to Create
	// Created and Deadline are by Redis' clock: when the session began, and
	// when its lifetime ends.
	Created, Deadline time.Time
	// ExpiresIn is how long the session had left, when Redis answered, unless
	// it is touched.
	ExpiresIn time.Duration
}

// Store creates and finds sessions with metadata of type M. It is safe for
// concurrent use and holds nothing that has to be closed. Make one with [New].
type Store[M any] struct {
	c              *conn.Client
	keys           conn.Keyspace
	idle, lifetime time.Duration
}

// New returns the store of the sessions whose metadata is an M, a type that
// encoding/json turns into an object: a struct, or a map with string keys. New
// does not talk to Redis. Bad input is an *conn.ArgumentError.
func New[M any](c *conn.Client, opts Options) (*Store[M], error) {
	if c == nil {
		return nil, invalid("client", "is nil: pass what conn.Open returned")
	}
	if opts.Lifetime == 0 {
		opts.Lifetime = DefaultLifetime
	}
	if opts.IdleTimeout == 0 {
		opts.IdleTimeout = min(DefaultIdleTimeout, opts.Lifetime)
	}
	const most = 10 * 366 * 24 * time.Hour
	switch {
	case opts.Lifetime < time.Second, opts.Lifetime > most:
		return nil, invalid("Options.Lifetime", fmt.Sprintf("%v is not between a second and ten years; zero means %v", opts.Lifetime, DefaultLifetime))
	case opts.IdleTimeout < time.Second:
		return nil, invalid("Options.IdleTimeout", fmt.Sprintf("%v is less than a second; zero means %v", opts.IdleTimeout, DefaultIdleTimeout))
	case opts.IdleTimeout > opts.Lifetime:
		return nil, invalid("Options.IdleTimeout", fmt.Sprintf("%v is more than the lifetime of %v", opts.IdleTimeout, opts.Lifetime))
	}
	return &Store[M]{c: c, keys: c.Keyspace("session"), idle: opts.IdleTimeout, lifetime: opts.Lifetime}, nil
}

// Create begins a session of a user and returns its new ID, which is stored
// nowhere. Bad input, also metadata that is no JSON object, is an
// *conn.ArgumentError. After an error there is no session, or one whose ID
// nobody knows and that ends by its idle time-out.
func (s *Store[M]) Create(ctx context.Context, user string, metadata M) (ID, Session[M], error) {
	start := time.Now()
	id := newID()
	created, err := s.create(ctx, id, user, metadata)
	if err != nil {
		return ID{}, Session[M]{}, s.done(ctx, "create", ID{}, start, err)
	}
	return id, created, s.done(ctx, "create", id, start, nil)
}

func (s *Store[M]) create(ctx context.Context, id ID, user string, metadata M) (none Session[M], _ error) {
	if err := conn.CheckName("user", user); err != nil {
		return none, err
	}
	data, err := encode(metadata)
	if err != nil {
		return none, err
	}
	r, err := createScript.Run(ctx, s.c, []string{s.key(id)}, []string{user, data, ms(s.idle), ms(s.lifetime)}).AsIntSlice()
	if err != nil {
		return none, err
	}
	if len(r) != 3 {
		return none, fmt.Errorf("the script returned %d values, not 3", len(r))
	}
	return Session[M]{User: user, Metadata: metadata, Created: time.UnixMilli(r[0]), Deadline: time.UnixMilli(r[1]), ExpiresIn: time.Duration(r[2]) * time.Millisecond}, nil
}

// Get returns the session of an ID, or ErrNotFound. It does not prolong it: see
// Touch.
func (s *Store[M]) Get(ctx context.Context, id ID) (Session[M], error) {
	start := time.Now()
	found, err := s.get(ctx, id)
	return found, s.done(ctx, "get", id, start, err)
}

func (s *Store[M]) get(ctx context.Context, id ID) (none Session[M], _ error) {
	if id.IsZero() {
		return none, ErrNotFound
	}
	r, err := getScript.Run(ctx, s.c, []string{s.key(id)}, nil).AsStrSlice()
	if err != nil {
		return none, err
	}
	if len(r) == 0 {
		return none, ErrNotFound
	}
	return decode[M](r)
}

// Touch tells that the user is active: the session lives for another idle
// time-out from now, though not beyond its lifetime. It returns ErrNotFound
// where there is no session, and never brings one back. After other errors it
// was prolonged or not.
func (s *Store[M]) Touch(ctx context.Context, id ID) error {
	start := time.Now()
	return s.done(ctx, "touch", id, start, s.touch(ctx, id))
}

func (s *Store[M]) touch(ctx context.Context, id ID) error {
	if id.IsZero() {
		return ErrNotFound
	}
	found, err := touchScript.Run(ctx, s.c, []string{s.key(id)}, []string{ms(s.idle)}).AsBool()
	if err == nil && !found {
		err = ErrNotFound
	}
	return err
}

// Delete ends the session of an ID. It is no error if there is none. After an
// error the session may still be there.
func (s *Store[M]) Delete(ctx context.Context, id ID) error {
	start := time.Now()
	if id.IsZero() {
		return s.done(ctx, "delete", id, start, nil)
	}
	// An ID is used once, so deleting it again after a lost reply is safe.
	cmd := s.c.B().Del().Key(s.key(id)).Build().ToRetryable()
	return s.done(ctx, "delete", id, start, s.c.Do(ctx, cmd).Error())
}

func (s *Store[M]) key(id ID) string { return s.keys.Key(id.hash()) }
