package conn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Client is the connection of a process to one Redis or Valkey deployment. It
// is safe for concurrent use, and meant to be shared by everything in the
// process that uses that deployment. Make one with [Open] or [Shared].
type Client struct {
	cfg    resolved
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	dialer dialer
	states states
	gate   gateway
	stats  counters

	raw      atomic.Pointer[rawClient]
	builder  rueidis.Builder
	contexts *sync.Pool // of *callContext
	shared   *sharedEntry

	wake    chan struct{} // buffered: the prober looks at once
	started chan struct{} // closed when something wants a connection
	start   sync.Once
	stopped chan struct{}            // closed when the prober has ended
	first   attempt                  // the first attempt to connect
	last    atomic.Pointer[error]    // why the last round failed; nil after one that did not
	lost    atomic.Pointer[lostConn] // a connection that was lost since the last round

	closing atomic.Bool
	ended   chan struct{} // closed when Close has done its work
}

// rawClient holds the interface in an atomic.Pointer.
type rawClient struct{ rueidis.Client }

// attempt is something that others wait for.
type attempt struct {
	once sync.Once
	done chan struct{}
	err  error // written before done is closed
}

func (a *attempt) end(err error) {
	a.once.Do(func() { a.err = err; close(a.done) })
}

// Open connects as cfg says and returns a Client, which the caller has to
// Close.
//
// It returns an *ArgumentError for a Config that cannot be used, and otherwise
// an error that says which address failed and why: ErrRefused, ErrDNS, ErrTLS,
// ErrAuth, ErrPermission, ErrLoading, ErrMaxClients, ErrWrongMode or ErrTimeout
// match it. It takes no longer than the connect time-out or ctx, whichever is
// shorter; ctx is not used afterwards. With Config.Lazy only the Config is
// checked.
//
// In mode cluster it is enough that part of the cluster answers: the Client is
// returned, and its state is Reconnecting until all do.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	c, err := newClient(r)
	if err != nil {
		return nil, err
	}
	if cfg.Lazy {
		return c, nil
	}
	c.begin()
	ctx, cancel := context.WithTimeout(ctx, r.ConnectTimeout)
	defer cancel()
	select {
	case <-c.first.done:
		err = c.first.err
	case <-ctx.Done():
		err = c.openTimeout(ctx.Err())
	}
	if err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

func newClient(r resolved) (*Client, error) {
	c := &Client{
		cfg:     r,
		wake:    make(chan struct{}, 1),
		started: make(chan struct{}),
		stopped: make(chan struct{}),
		ended:   make(chan struct{}),
		first:   attempt{done: make(chan struct{})},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.dialer = dialer{c: c, gates: map[string]*gate{}, conns: map[*netConn]struct{}{}}
	c.states.panics = func() { c.stats.listenerPanics.Add(1) }
	c.gate = newGateway(r.mode, r.MaxPending)
	c.contexts = newCallPool(time.Now())
	b, err := newBuilder(r.mode)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.builder = b
	go c.probeLoop()
	return c, nil
}

// begin starts connecting, once.
func (c *Client) begin() { c.start.Do(func() { close(c.started) }) }

// openTimeout says what kept Open from connecting in time.
func (c *Client) openTimeout(cause error) error {
	if errs := c.dialer.lastErrors(); len(errs) > 0 {
		return &Error{Op: "open", Kinds: []error{ErrNotConnected, ErrTimeout}, Err: append(errs, cause)}
	}
	return &Error{Op: "open", Kinds: []error{ErrNotConnected, ErrTimeout}, Err: fmt.Errorf(
		"%v did not answer within %v: is it frozen, unreachable, or no Redis? %w", c.cfg.Addrs, c.cfg.ConnectTimeout, cause)}
}

// abandon closes a Client that nobody got to see, without waiting for what a
// silent server still holds up.
func (c *Client) abandon() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ctx)
}

// B returns rueidis' command builder. Each command that it builds can be sent
// once. In mode cluster it panics when a command gets keys of different slots;
// SameSlot tells beforehand.
func (c *Client) B() rueidis.Builder { return c.builder }

// Raw returns the rueidis client underneath, connecting first where Config.Lazy
// delayed that. Use it for what this package does not wrap; closing it is not
// allowed. The promises of this package about deadlines, errors and keys do
// not hold for its methods.
func (c *Client) Raw(ctx context.Context) (rueidis.Client, error) {
	if c.closing.Load() {
		return nil, &Error{Op: "raw", Kinds: []error{ErrClosed}}
	}
	return c.await(ctx, "raw")
}

// Mode returns the mode that the Client works in; never ModeAuto.
func (c *Client) Mode() Mode { return c.cfg.mode }

// CommandTimeout returns what bounds calls that have no deadline.
func (c *Client) CommandTimeout() time.Duration { return c.cfg.CommandTimeout }

// await returns the rueidis client, waiting for the attempt that is under way
// where there is none yet.
func (c *Client) await(ctx context.Context, op string) (rueidis.Client, error) {
	if raw := c.raw.Load(); raw != nil {
		return raw.Client, nil
	}
	c.begin()
	select {
	case <-c.first.done:
	case <-ctx.Done():
		return nil, &Error{Op: op, Kinds: append([]error{ErrNotConnected}, kindsOf(ctx.Err())...), Err: ctx.Err()}
	case <-c.ctx.Done():
		return nil, &Error{Op: op, Kinds: []error{ErrClosed}}
	}
	if raw := c.raw.Load(); raw != nil {
		return raw.Client, nil
	}
	// The first attempt failed, and the prober goes on trying: say why at
	// once rather than let every caller wait.
	err := c.first.err
	if last := c.last.Load(); last != nil {
		err = *last
	}
	kinds := []error{ErrNotConnected}
	for _, k := range kindsOf(err) {
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return nil, &Error{Op: op, Kinds: kinds, Err: err}
}

// Close lets the calls that are under way end, closes every connection, and
// returns when nothing of the Client is running any more. New calls fail with
// ErrClosed from now on. When ctx ends first, the remaining calls are cut off
// (writes among them with ErrUnknownOutcome) and Close returns an error that
// says how many. A second Close waits for the first one and returns nil.
//
// On a Client from Shared, only the last Close closes it; the others return at
// once.
func (c *Client) Close(ctx context.Context) error {
	if c.shared != nil && !c.shared.release(c) {
		return nil
	}
	if c.closing.Swap(true) {
		select {
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(c.ended)
	c.gate.shut()
	err := c.drain(ctx)

	c.cancel() // ends the prober and dials under way
	c.closeRaw(ctx)
	err = errors.Join(err, c.awaitGoroutines(ctx))
	c.states.set(End, nil)
	return errors.Join(err, c.awaitListeners(ctx))
}

// closeGrace is for what ends by itself when every connection is closed, also
// when Close's context has ended.
const closeGrace = time.Second

// awaitGoroutines waits for the prober and for calls that were given up. All
// connections are closed, so nothing holds them but functions of the user's
// that do not return (Config.NewClient and what it wraps).
func (c *Client) awaitGoroutines(ctx context.Context) error {
	limit, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(closeGrace, cancel) })
	defer stop()
	select {
	case <-c.stopped:
	case <-limit.Done():
		return fmt.Errorf("conn: close: the prober has not ended: does Config.NewClient return? %w", ctx.Err())
	}
	if !c.gate.awaitBackground(limit.Done()) {
		return fmt.Errorf("conn: close: %d calls have not ended: does a wrapper of Config.NewClient hang? %w", len(c.gate.pending), ctx.Err())
	}
	return nil
}

// drain waits for the calls under way.
func (c *Client) drain(ctx context.Context) error {
	for {
		n := c.gate.calls()
		if n == 0 {
			return nil
		}
		select {
		case <-c.gate.drained:
		case <-ctx.Done():
			return fmt.Errorf("conn: close: %d calls were cut off: %w", n, ctx.Err())
		}
	}
}

// closeRaw closes the rueidis client. Its Close exchanges a last PING with
// each server, which is pointless, and slow, where the server is not answering.
func (c *Client) closeRaw(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if raw := c.raw.Load(); raw != nil {
			raw.Close()
		}
	}()
	if c.State() == Connected && ctx.Err() == nil {
		t := time.NewTimer(200 * time.Millisecond)
		select {
		case <-closed:
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	c.dialer.cut()
	select {
	case <-closed:
	case <-ctx.Done():
		select {
		case <-closed:
		case <-time.After(closeGrace):
		}
	}
}

// awaitListeners waits until every listener has been told of End.
func (c *Client) awaitListeners(ctx context.Context) error {
	done := make(chan struct{})
	go func() { c.states.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	// ctx may have ended long ago; a listener that works still gets its chance.
	grace := time.NewTimer(100 * time.Millisecond)
	defer grace.Stop()
	select {
	case <-done:
		return nil
	case <-grace.C:
		return fmt.Errorf("conn: close: a state listener has not returned: %w", ctx.Err())
	}
}
