package conn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
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

	established atomic.Bool // the handshake has ended
	closed      atomic.Bool
	answered    bool                  // only its one reader touches it
	refusal     error                 // likewise
	handshake   atomic.Pointer[Error] // what ended it
}

var tooMany = []byte("-ERR max number of clients")

// Read returns errors that say which server they are about. The first loss
// makes the Client suspect every connection, before rueidis knows of it.
func (n *netConn) Read(b []byte) (int, error) {
	k, err := n.Conn.Read(b)
	if k > 0 && !n.answered {
		n.answered = true
		if bytes.HasPrefix(b[:k], tooMany) {
			// The server says so, then hangs up; rueidis shows a bare EOF.
			n.refusal = &Error{Addr: n.addr, Kinds: []error{ErrNotConnected, ErrMaxClients}}
		}
	}
	if err != nil {
		err = n.lost(err)
	}
	return k, err
}

func (n *netConn) Write(b []byte) (int, error) {
	k, err := n.Conn.Write(b)
	if err != nil {
		err = n.lost(err)
	}
	return k, err
}

func (n *netConn) lost(err error) error {
	if n.refusal != nil {
		return n.refusal
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

// SetDeadline is called with the zero time when rueidis has ended the
// handshake and begins to pipeline.
func (n *netConn) SetDeadline(t time.Time) error {
	if t.IsZero() && !n.established.Swap(true) {
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
	n.d.mu.Lock()
	delete(n.d.conns, n)
	closed := n.d.closed
	n.d.mu.Unlock()
	if !closed && !n.established.Load() && time.Since(n.since) < 2*n.d.c.cfg.ConnectTimeout {
		err := n.refusal
		if e := n.handshake.Load(); err == nil && e != nil {
			err = e // until the next attempt, calls fail with this one's reason
		}
		if err == nil {
			err = &Error{Addr: n.addr, Kinds: []error{ErrNotConnected}, Err: errors.New("the handshake failed; the next attempt follows shortly")}
		}
		n.d.failed(n.addr, err)
	}
	return n.Conn.Close()
}

// RemoteAddr tells Config.Credentials' adapter whether this is a Sentinel.
func (n *netConn) RemoteAddr() net.Addr { return nodeAddr{n.Conn.RemoteAddr(), n.sentinel} }

type nodeAddr struct {
	net.Addr
	sentinel bool
}
