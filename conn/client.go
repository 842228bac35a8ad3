package conn

import (
	"context"
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
	*core
	shared   *sharedEntry // of a Client from Shared; nil otherwise
	released atomic.Bool  // Close was called on it
}

// core is what the Clients that Shared gives out for one configuration share.
type core struct {
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

	wake    chan struct{} // buffered: the prober looks at once
	started chan struct{} // closed when something wants a connection
	start   sync.Once
	stopped chan struct{}            // closed when the prober has ended
	first   attempt                  // the first attempt to connect
	last    atomic.Pointer[error]    // why the last round failed; nil after one that did not
	lost    atomic.Pointer[lostConn] // a connection that was lost since the last round

	lastHeard atomic.Int64 // when heard last asked the prober to look

	closing atomic.Bool
	ended   chan struct{} // closed when Close has done its work
}

// rawClient holds the interface in an atomic.Pointer.
type rawClient struct {
	rueidis.Client
	closing sync.Once
}

// close closes the client once: a wrapper's Close need not bear more.
func (r *rawClient) close() { r.closing.Do(r.Client.Close) }

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
		if cfg.NewClient != nil {
			go c.abandon() //nolint:gosec // NewClient may hang, and Open must not; ctx may have ended
		} else {
			c.abandon()
		}
		return nil, err
	}
	return c, nil
}

func newClient(r resolved) (*Client, error) {
	c := &Client{core: &core{
		cfg:     r,
		wake:    make(chan struct{}, 1),
		started: make(chan struct{}),
		stopped: make(chan struct{}),
		ended:   make(chan struct{}),
		first:   attempt{done: make(chan struct{})},
	}}
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
