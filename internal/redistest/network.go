package redistest

import (
	"fmt"
	"net"
)

// A Cut is how a partition treats what is sent across it.
type Cut int

const (
	// Hold keeps bytes back until the partition heals, and connections open: a
	// broken cable, or a firewall that drops.
	Hold Cut = iota
	// Sever resets connections: a firewall that rejects.
	Sever
)

// A network is the ways between the servers of a group. Every server binds the
// connections that it makes to a loopback address of its own, 127.0.0.id, by
// which the gate of the server that it calls knows which way it takes. Clients
// come from 127.0.0.1.
type network struct {
	ways map[way]*valve // by who sends the bytes to whom, whoever connected
}

type way struct{ from, to int }

// firstID keeps clear of addresses that a machine may use for something else.
const firstID = 11

func newNetwork(size int) *network {
	n := &network{ways: map[way]*valve{}}
	for from := firstID; from < firstID+size; from++ {
		for to := firstID; to < firstID+size; to++ {
			n.ways[way{from, to}] = newValve()
		}
	}
	return n
}

// source returns the address that a server's own connections come from.
func source(id int) string { return fmt.Sprintf("127.0.0.%d", id) }

// gate makes the proxy in front of one port of the server with an id.
func (n *network) gate(id int, target string, reads bool) (*Proxy, error) {
	p, err := newProxy(target)
	if err != nil {
		return nil, err
	}
	p.reads = reads
	p.route = func(caller net.Addr) (up, down *valve, ok bool) {
		tcp, isTCP := caller.(*net.TCPAddr)
		if !isTCP || tcp.IP.To4() == nil {
			return nil, nil, false
		}
		peer := int(tcp.IP.To4()[3])
		up, ok = n.ways[way{peer, id}]
		return up, n.ways[way{id, peer}], ok
	}
	return p, nil
}

// set makes what a's send to b's flow or not.
func (n *network) set(a, b []*Server, f flow) {
	for _, from := range a {
		for _, to := range b {
			if from != to {
				n.ways[way{from.id, to.id}].set(func(v *valve) { v.flow = f })
			}
		}
	}
}
