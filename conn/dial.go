package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
)

// backoff is the pause after the n-th failure in a row (n from 1): it doubles
// up to a second, and half of it is random, so that hundreds of processes that
// lost the same server do not come back in step.
func backoff(n int) time.Duration {
	d := maxBackoff
	if n < 6 {
		d = min(maxBackoff, firstBackoff<<max(n-1, 0))
	}
	return d/2 + rand.N(d/2) //nolint:gosec // jitter is no secret
}

// dialer makes every network connection of a Client. rueidis dials again at
// each call while a server is down; the dialer lets one attempt through per
// pause and answers the others at once with what the last one found.
type dialer struct {
	c *Client

	// handshakes counts the connections to data nodes that are not ready yet.
	// While there is one, the gateway stays shut: a call for its node would wait
	// for it, whatever its deadline.
	handshakes atomic.Int64

	mu     sync.Mutex
	gates  map[string]*gate
	conns  map[*netConn]struct{}
	closed bool
}

// gate remembers the failures in a row of one address.
type gate struct {
	failures int
	next     time.Time
	last     error
}

// probeKey marks the context of a probe, which may dial during the pause: the
// prober keeps to the pauses itself.
type probeKey struct{}

// sentinelMark is the Dialer.FallbackDelay by which a dial toward a Sentinel
// is told from one toward a data node; it is the default but for a nanosecond.
const sentinelMark = 300*time.Millisecond + 1

func (d *dialer) dial(ctx context.Context, addr string, nd *net.Dialer, cfg *tls.Config) (net.Conn, error) {
	if err := d.admit(ctx, addr); err != nil {
		return nil, err
	}
	d.c.stats.dials.Add(1)
	nc := &netConn{d: d, addr: addr, since: time.Now(), sentinel: nd.FallbackDelay == sentinelMark}
	nc.begin()
	// A little less than the connect time-out, so that Open can still say what
	// became of the attempt.
	limit := d.c.cfg.ConnectTimeout
	limit -= min(limit/10, 100*time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(d.c.ctx, cancel) // Close ends a dial under way
	defer stop()

	raw, certAsked, err := connect(ctx, addr, nd, cfg)
	if err != nil {
		err = d.explain(addr, err)
		d.failed(addr, err)
		nc.settle(false)
		return nil, err
	}
	nc.Conn, nc.certAsked = raw, certAsked
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = raw.Close()
		nc.settle(false)
		return nil, &Error{Addr: addr, Kinds: []error{ErrNotConnected, ErrClosed}}
	}
	d.conns[nc] = struct{}{}
	return nc, nil
}

// connect opens the connection. certAsked says that the server wants to see a
// client certificate; in TLS 1.3 its verdict comes after our handshake.
func connect(ctx context.Context, addr string, nd *net.Dialer, cfg *tls.Config) (_ net.Conn, certAsked bool, _ error) {
	network := "tcp"
	if isSocket(addr) {
		network = "unix"
	}
	raw, err := nd.DialContext(ctx, network, addr)
	if err != nil || cfg == nil {
		return raw, false, err
	}
	tc := tls.Client(raw, tlsFor(cfg, addr, &certAsked))
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			// A Redis without TLS takes the handshake for an unfinished command.
			// So does one that is frozen, and that is the likelier.
			return nil, false, &Error{Kinds: []error{ErrTimeout}, Err: fmt.Errorf("no answer to the TLS handshake: is the server frozen, or does this port not speak TLS? %w", err)}
		}
		if isConnLoss(err) && !isTLS(err) && !certAsked {
			// It may have been stopped just now, which is no misconfiguration.
			return nil, false, fmt.Errorf("the server hung up during the TLS handshake: is it stopping, or does this port not speak TLS? %w", err)
		}
		return nil, false, &Error{Kinds: []error{ErrTLS}, Err: err}
	}
	return tc, certAsked, nil
}

func (d *dialer) admit(ctx context.Context, addr string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return &Error{Addr: addr, Kinds: []error{ErrNotConnected, ErrClosed}}
	}
	g := d.gates[addr]
	switch now := time.Now(); {
	case g == nil, ctx.Value(probeKey{}) != nil:
		return nil
	case now.Before(g.next):
		return g.last
	default:
		g.next = now.Add(backoff(g.failures)) // the others wait for what this one finds
		return nil
	}
}

// explain makes the error of a failed dial, which says where and why.
func (d *dialer) explain(addr string, err error) error {
	kinds := append([]error{ErrNotConnected}, kindsOf(err)...)
	var known *Error
	if errors.As(err, &known) {
		err = known.Err
	} else if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no connection within %v: is the address right, and does a firewall let it through? %w", d.c.cfg.ConnectTimeout, err)
	}
	return &Error{Addr: addr, Kinds: kinds, Err: err}
}

func (d *dialer) failed(addr string, err error) {
	d.c.stats.dialFailures.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.gates[addr]
	if g == nil {
		g = &gate{}
		d.gates[addr] = g
	}
	g.failures++
	g.next = time.Now().Add(backoff(g.failures))
	g.last = err
}

func (d *dialer) succeeded(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.gates, addr)
}

// lastErrors returns what is known of the addresses that could not be reached.
func (d *dialer) lastErrors() errorList {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs errorList
	for _, addr := range slices.Sorted(maps.Keys(d.gates)) {
		if g := d.gates[addr]; g.last != nil {
			errs = append(errs, g.last)
		}
	}
	return errs
}

// errorList is errors.Join on one line, fit for a log.
type errorList []error

func (l errorList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = strings.TrimPrefix(err.Error(), "conn: ")
	}
	return strings.Join(texts, "; ")
}

func (l errorList) Unwrap() []error { return l }

func (d *dialer) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// cut closes every connection, so that nothing waits on one any longer, and lets
// none be opened.
func (d *dialer) cut() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.hangUp()
}

// hangUp closes every connection.
func (d *dialer) hangUp() {
	d.mu.Lock()
	conns := make([]*netConn, 0, len(d.conns))
	for nc := range d.conns {
		conns = append(conns, nc)
	}
	d.mu.Unlock()
	for _, nc := range conns {
		_ = nc.Close()
	}
}
