package conn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// netConn is one connection. It sees what rueidis does not tell: when and why
// a connection was lost, and what a server says before it hangs up.
type netConn struct {
	net.Conn
	d         *dialer
	addr      string
	sentinel  bool
	certAsked bool
	since     time.Time

	dialling    atomic.Bool  // counted in dialer.handshakes
	deadlines   atomic.Int32 // calls of SetDeadline
	established atomic.Bool  // the handshake has ended
	closed      atomic.Bool
	refusal     atomic.Pointer[Error] // how the server refused the handshake
	handshake   atomic.Pointer[Error] // what else ended it
}

// Read returns errors that say which server they are about. The first loss
// makes the Client suspect every connection, before rueidis knows of it.
func (n *netConn) Read(b []byte) (int, error) {
	k, err := n.Conn.Read(b)
	if k > 0 && !n.established.Load() {
		n.lookForRefusal(b[:k])
	}
	if err != nil {
		err = n.lost(err)
	}
	return k, err
}

// lookForRefusal finds the error replies of a handshake. One that has too many
// clients says so and hangs up, of which rueidis shows a bare EOF; after others
// rueidis closes the connection as if it had been in use.
func (n *netConn) lookForRefusal(b []byte) {
	for line := range bytes.SplitSeq(b, []byte("\r\n")) {
		text := string(bytes.TrimPrefix(line, []byte("-")))
		lower := strings.ToLower(text)
		if len(text) == len(line) || strings.Contains(lower, "setinfo") || strings.HasPrefix(lower, "err unknown command 'hello'") {
			continue // no error, or one that rueidis lives with
		}
		e := &Error{Addr: n.addr, Kinds: []error{ErrNotConnected}, Err: errors.New(n.d.c.redact(text))}
		if k := kindOfReply(text); k != nil {
			e.Kinds = append(e.Kinds, k)
		}
		n.refusal.CompareAndSwap(nil, e)
	}
}

func (n *netConn) Write(b []byte) (int, error) {
	k, err := n.Conn.Write(b)
	if err != nil {
		err = n.lost(err)
	}
	return k, err
}

func (n *netConn) lost(err error) error {
	if e := n.refusal.Load(); e != nil {
		return e
	}
	e := &Error{Addr: n.addr, Kinds: []error{ErrConnectionLost}, Err: err}
	if !n.established.Load() {
		e.Op, e.Kinds = "handshake", append([]error{ErrNotConnected}, kindsOf(err)...)
		if n.certAsked && !isTLS(err) && isConnLoss(err) {
			e.Kinds = append(e.Kinds, ErrTLS)
			e.Err = fmt.Errorf("the server asked for a client certificate, and then hung up (Config.TLS.Certificates): %w", err)
		}
		if !n.closed.Load() {
			n.handshake.CompareAndSwap(nil, e)
		}
	}
	err = e
	// A deadline is rueidis' own, and so is a Close: not losses.
	if !n.sentinel && n.established.Load() && !n.closed.Load() && !errors.Is(err, os.ErrDeadlineExceeded) {
		n.d.c.connLost(n.addr, err)
	}
	return err
}

// begin counts the connection as one that is being made.
func (n *netConn) begin() {
	if !n.sentinel {
		n.dialling.Store(true)
		n.d.handshakes.Add(1)
		n.d.c.gate.suspect()
	}
}

// settle ends that. If the connection is ready, the prober looks at once, and
// opens the gateway if all is well; after a failure it keeps to its pauses.
func (n *netConn) settle(ready bool) {
	if n.dialling.Swap(false) {
		n.d.handshakes.Add(-1)
		if ready && n.refusal.Load() == nil {
			n.d.c.kick()
		}
	}
}

// SetDeadline is called with the zero time when rueidis has ended the
// handshake and begins to pipeline; and also when the handshake was refused.
func (n *netConn) SetDeadline(t time.Time) error {
	// One or two exchanges are the handshake (RESP3, RESP2); a connection that is
	// used without pipelining never gets the zero time.
	if t.IsZero() || n.deadlines.Add(1) > 2 {
		n.settle(true)
	}
	if t.IsZero() && n.refusal.Load() == nil && !n.established.Swap(true) {
		n.d.succeeded(n.addr)
	}
	return n.Conn.SetDeadline(t)
}

// Close counts a connection that never finished its handshake as a failed
// dial, so that a wrong password or a frozen server is not tried in a loop.
func (n *netConn) Close() error {
	if n.closed.Swap(true) {
		return nil
	}
	n.settle(false)
	n.d.mu.Lock()
	delete(n.d.conns, n)
	closed := n.d.closed
	n.d.mu.Unlock()
	if !closed && !n.established.Load() && time.Since(n.since) < 2*n.d.c.cfg.ConnectTimeout {
		// Until the next attempt, calls fail with this one's reason.
		e := n.refusal.Load()
		if e == nil {
			e = n.handshake.Load()
		}
		if e == nil {
			e = &Error{Addr: n.addr, Kinds: []error{ErrNotConnected}, Err: errors.New("the handshake failed; the next attempt follows shortly")}
		}
		n.d.failed(n.addr, e)
	}
	return n.Conn.Close()
}

// RemoteAddr tells Config.Credentials' adapter whether this is a Sentinel.
func (n *netConn) RemoteAddr() net.Addr { return nodeAddr{n.Conn.RemoteAddr(), n.sentinel} }

type nodeAddr struct {
	net.Addr
	sentinel bool
}
