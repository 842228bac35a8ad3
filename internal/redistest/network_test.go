package redistest

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// TestGateTellsPeersFromClients calls one gate as a peer and as a client, and
// has faults on one way that the other must not feel. Its connections are idle,
// so nothing but the change itself can end them.
func TestGateTellsPeersFromClients(t *testing.T) {
	t.Parallel()
	server := SharedStandalone(t, Options{})
	n := newNetwork(2)
	gate, err := n.gate(firstID, server.Addr(), true)
	must(t, err)
	t.Cleanup(gate.Close)
	must(t, gate.listen())
	here, there := &Server{id: firstID}, &Server{id: firstID + 1}
	peerDials := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source(there.id))}}
	call := func(d net.Dialer) (*Conn, error) {
		nc, err := d.DialContext(t.Context(), "tcp", gate.Addr())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = nc.Close() })
		return newConn(nc), nil
	}
	asPeer := func() *Conn {
		t.Helper()
		c, err := call(peerDials)
		must(t, err)
		return c
	}
	reset := func(c *Conn) {
		t.Helper()
		if _, err := c.Receive(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	// A new connection may be reset as early as while it is being made.
	resetAtOnce := func(d net.Dialer) {
		t.Helper()
		if c, err := call(d); err == nil {
			reset(c)
		} else if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	client, peer := through(t, gate), asPeer()
	ask(t, client, "PING")
	ask(t, peer, "PING")

	n.set([]*Server{there}, []*Server{here}, resetting)
	reset(peer)
	resetAtOnce(peerDials)
	ask(t, client, "PING")

	n.set([]*Server{there}, []*Server{here}, holding)
	peer = asPeer()
	must(t, peer.Send(t.Context(), "PING"))
	if hears(t, peer) {
		t.Error("a reply came through the partition")
	}
	n.set([]*Server{there}, []*Server{here}, flowing)
	if got, err := peer.Receive(t.Context()); got != "PONG" {
		t.Errorf("after the heal: %v, %v", got, err)
	}

	// What the client suffers the peer does not notice.
	must(t, gate.Refuse())
	if n := gate.Reset(); n != 1 {
		t.Errorf("reset %d connections, want the client's only", n)
	}
	reset(client)
	resetAtOnce(net.Dialer{})
	ask(t, peer, "PING")
	ask(t, asPeer(), "PING")
	must(t, gate.Heal())
	ask(t, through(t, gate), "PING")
}
