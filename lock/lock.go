package lock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Bounds of a lock's TTL, and what zero means.
const (
	DefaultTTL = 30 * time.Second
	MinTTL     = 10 * time.Millisecond
	MaxTTL     = 24 * time.Hour
)

var (
	// ErrHeld is returned by TryAcquire when somebody else holds the lock.
	ErrHeld = errors.New("lock: held by another")
	// ErrNotHeld is returned by Release when the lock was not held any more:
	// released before, expired, or lost. It is also the context.Cause of a
	// Lock's context that ended because its time was over or it was released.
	ErrNotHeld = errors.New("lock: not held")
)

// Options are the optional settings of a [Locker]. The zero value is useful.
type Options struct {
	// TTL is for calls of TryAcquire with a TTL of zero. Zero means DefaultTTL
	// (30 s); otherwise it is MinTTL (10 ms) to MaxTTL (24 h).
	TTL time.Duration
}

// Locker takes locks. It is safe for concurrent use and holds nothing that has
// to be closed. Make one with [New].
type Locker struct {
	c    *conn.Client
	keys conn.Keyspace
	ttl  time.Duration
}

// New returns a Locker. All on one Redis and one Config.KeyPrefix compete for
// the same locks. New does not talk to Redis. Bad input is an
// *conn.ArgumentError.
func New(c *conn.Client, opts Options) (*Locker, error) {
	if c == nil {
		return nil, fmt.Errorf("lock: %w", &conn.ArgumentError{Name: "client", Problem: "is nil: pass what conn.Open returned"})
	}
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	if err := checkTTL("Options.TTL", opts.TTL); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return &Locker{c: c, keys: c.Keyspace("lock"), ttl: opts.TTL}, nil
}

func checkTTL(name string, ttl time.Duration) error {
	if ttl < MinTTL || ttl > MaxTTL {
		return &conn.ArgumentError{Name: name, Problem: fmt.Sprintf("%v is not between %v and %v; zero is the default", ttl, MinTTL, MaxTTL)}
	}
	return nil
}

// TryAcquire takes a lock for ttl, or returns ErrHeld at once if somebody holds
// it. Zero means Options.TTL; parts of a millisecond are cut off. Bad input is
// an *conn.ArgumentError.
//
// The lock's context is a child of ctx: it carries its values and ends with it.
//
// On an error nothing is held. Where Redis may have granted the lock and the
// reply was lost (conn.ErrUnknownOutcome), it is released again in the
// background, within the command time-out; if that fails, it is free after ttl.
// A grant that arrives when its time is over already is conn.ErrTimeout.
func (l *Locker) TryAcquire(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	start := time.Now()
	lock, err := l.tryAcquire(ctx, name, ttl)
	return lock, l.done(ctx, "acquire", name, start, err)
}

func (l *Locker) tryAcquire(ctx context.Context, name string, ttl time.Duration) (*Lock, error) {
	if err := conn.CheckName("name", name); err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = l.ttl
	}
	if err := checkTTL("ttl", ttl); err != nil {
		return nil, err
	}
	ttl = ttl.Truncate(time.Millisecond)
	token := rand.Text()
	held := &grant{locker: l, name: name, key: l.keys.Tagged(name), token: &token}
	fenceKey := l.keys.Tagged(name, "fence")
	if len(fenceKey) > conn.MaxKey { // prefix and escapes add to it
		return nil, &conn.ArgumentError{Name: "name", Problem: fmt.Sprintf("makes a Redis key of %d bytes, more than %d", len(fenceKey), conn.MaxKey)}
	}

	sent := now() // before the first of what may be several sends
	r, err := acquireScript.Run(ctx, l.c, []string{held.key, fenceKey}, []string{token, strconv.FormatInt(ttl.Milliseconds(), 10)}).AsIntSlice()
	if err == nil && len(r) != 2 {
		err = fmt.Errorf("the script returned %d numbers, not 2", len(r))
	}
	if err != nil {
		if errors.Is(err, conn.ErrUnknownOutcome) {
			go held.discard(ctx)
		}
		return nil, err
	}
	if r[0] == 0 {
		return nil, ErrHeld
	}
	validity := validity(ttl)
	if took := sent.elapsed(now()); took >= validity {
		go held.discard(ctx)
		return nil, fmt.Errorf("granted, but the answer took %v of the TTL of %v: %w", took.Round(time.Millisecond), ttl, conn.ErrTimeout)
	}
	return &Lock{grant: held, fence: r[1], ctx: newHold(ctx, sent, validity)}, nil
}

// validity is how long after sending a lock of that TTL is certainly held: Redis
// counts from later, and its clock may run 1% faster than ours.
func validity(ttl time.Duration) time.Duration { return ttl - ttl/100 - 2*time.Millisecond }

// Lock is a lock that was acquired. It is safe for concurrent use.
type Lock struct {
	grant *grant
	fence int64
	ctx   *hold
}

// grant is what is known to Redis of a lock.
type grant struct {
	locker    *Locker
	name, key string
	token     *string // fmt goes through a pointer to a struct, not to a string
}

// Context returns the context to work under. It ends before the lock can be
// anyone else's, at Release, and with the context given to TryAcquire; then its
// Err is context.Canceled, or the latter's.
func (l *Lock) Context() context.Context { return l.ctx }

// Fence returns the fencing token: a number, not a secret, that is greater than
// that of every earlier holder of this lock.
func (l *Lock) Fence() int64 { return l.fence }

// Name returns the name given to TryAcquire.
func (l *Lock) Name() string { return l.grant.name }

// String describes the lock.
func (l *Lock) String() string {
	return fmt.Sprintf("lock %s (fence %d)", quote(l.grant.name), l.fence)
}

// Release ends the lock's context, and then the lock. It returns ErrNotHeld if
// it was no longer held; a lock that is another's by now is left alone. After
// conn.ErrUnknownOutcome it may be released or not; Release can be called again.
//
// A ctx that has ended already does not keep Release from working: it is then
// bounded by the command time-out. So "defer l.Release(ctx)" is right.
func (l *Lock) Release(ctx context.Context) error {
	start := time.Now()
	l.ctx.end()
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	released, err := l.grant.release(ctx)
	if err == nil && !released {
		err = ErrNotHeld
	}
	return l.grant.locker.done(ctx, "release", l.grant.name, start, err)
}

func (g *grant) release(ctx context.Context) (bool, error) {
	return releaseScript.Run(ctx, g.locker.c, []string{g.key}, []string{*g.token}).AsBool()
}

// discard releases what nobody will use. The caller's context may have ended;
// without it the command time-out is the bound.
func (g *grant) discard(ctx context.Context) {
	start := time.Now()
	ctx = context.WithoutCancel(ctx)
	_, err := g.release(ctx)
	_ = g.locker.done(ctx, "discard", g.name, start, err) // the Observer is who can be told
}
