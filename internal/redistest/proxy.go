package redistest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Direction says which way of a connection a fault is on.
type Direction int

// Up is from clients to the server, Down from the server to its clients.
const (
	Up Direction = 1 << iota
	Down
	Both = Up | Down
)

// ProxyStats counts what passed a [Proxy], so that a test can check that its
// fault happened.
type ProxyStats struct {
	Connections int // accepted so far
	Open        int // of them, those that have not ended
	Resets      int // connections that ended with a reset, by either side's doing

	// What follows is counted only where the proxy reads the protocol.
	Commands  int // sent by clients
	Replies   int // sent by the server, also those that were swallowed
	Pushes    int // out-of-band messages of RESP3
	Swallowed int // replies taken away
}

// A Proxy stands between clients and one server, and does to their connections
// what networks do. It is made by [NewProxy], and every server of a group has
// one as its gate. Faults take effect at once, for open connections too, and
// stay until Heal. Safe for concurrent use.
//
// Without TLS it also reads the protocol: it counts commands and can swallow the
// reply to a chosen one.
type Proxy struct {
	target   string
	port     *port
	up, down *valve

	// route, on a gate, tells apart who calls: it returns the valves of the way
	// that a peer takes, and ok false for a client.
	route func(caller net.Addr) (up, down *valve, ok bool)
	// reads is whether clients' connections are read as RESP.
	reads bool

	wg sync.WaitGroup // the accept loop and the relays

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	refusing bool         // by Refuse
	off      bool         // by suspend
	closed   bool
	relays   map[*relay]struct{}
	swallows []*Swallow
	stats    ProxyStats
}

// StartProxy starts a proxy in front of the server at target ("host:port").
// raw keeps it from reading the protocol, as it must not where TLS is spoken.
// Close it. Tests use [NewProxy].
func StartProxy(target string, raw bool) (*Proxy, error) {
	p, err := newProxy(target)
	if err != nil {
		return nil, err
	}
	p.reads = !raw
	if err := p.listen(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newProxy prepares a proxy that does not listen yet.
func newProxy(target string) (*Proxy, error) {
	port, err := reservePort()
	if err != nil {
		return nil, err
	}
	return &Proxy{target: target, port: port, up: newValve(), down: newValve(), relays: map[*relay]struct{}{}}, nil
}

// Addr returns the address for clients, "127.0.0.1:port". It stays the same
// until Close.
func (p *Proxy) Addr() string { return p.port.addr() }

// Stats returns the counts so far.
func (p *Proxy) Stats() ProxyStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open = len(p.relays)
	return s
}

// Latency makes a round trip take d longer, half of it each way. Zero ends it.
func (p *Proxy) Latency(d time.Duration) {
	p.each(Both, func(v *valve) { v.latency = d / 2 })
}

// Bandwidth limits each direction to a number of bytes per second, over all
// connections together. Zero ends it.
func (p *Proxy) Bandwidth(bytesPerSecond int) {
	p.each(Both, func(v *valve) { v.rate = max(0, bytesPerSecond) })
}

// Blackhole lets nothing through in a direction. Connections stay open and new
// ones are accepted. What is sent meanwhile arrives after Heal, as it does when a
// network is mended and TCP sends again.
func (p *Proxy) Blackhole(d Direction) {
	p.each(d, func(v *valve) { v.flow = holding })
}

// Reset ends all open connections with a TCP reset, toward both ends, and
// returns how many there were. New ones are served.
func (p *Proxy) Reset() int {
	p.mu.Lock()
	var open []*relay
	for r := range p.relays {
		// On a gate those of peers are none of a client's faults.
		if r.up == p.up {
			open = append(open, r)
		}
	}
	p.mu.Unlock()
	for _, r := range open {
		r.end(true)
	}
	return len(open)
}

// Refuse refuses new connections; open ones go on. The port stays taken, so that
// nobody else gets it. On a gate the server's peers are still let in, and a
// client's connection is accepted and reset at once.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = true
	return p.relisten()
}

// Heal ends every fault but an armed [Swallow]: what was held is delivered, and
// connections are accepted.
func (p *Proxy) Heal() error {
	p.each(Both, func(v *valve) { v.flow, v.latency, v.rate = flowing, 0, 0 })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = false
	return p.relisten()
}

func (p *Proxy) each(d Direction, change func(*valve)) {
	if d&Up != 0 {
		p.up.set(change)
	}
	if d&Down != 0 {
		p.down.set(change)
	}
}

// suspend refuses all connections while there is no server; resume ends that.
func (p *Proxy) suspend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	_ = p.relisten() // closing only
}

func (p *Proxy) resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = false
	return p.relisten()
}

func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.relisten()
}

// relisten makes the listener what the state asks for; with p.mu held.
func (p *Proxy) relisten() error {
	want := !p.closed && !p.off && (!p.refusing || p.route != nil)
	switch {
	case want && p.listener == nil:
		l, err := net.Listen("tcp4", p.port.addr())
		if err != nil {
			return fmt.Errorf("redistest: proxy to %s: %w", p.target, err)
		}
		p.listener = l
		p.wg.Go(func() { p.accept(l) })
	case !want && p.listener != nil:
		_ = p.listener.Close()
		p.listener = nil
	}
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				time.Sleep(time.Millisecond) // out of file descriptors, say
				continue
			}
			return
		}
		if tcp, ok := nc.(*net.TCPConn); ok { // as a TCP listener accepts no other
			p.serve(tcp)
		}
	}
}

func (p *Proxy) serve(nc *net.TCPConn) {
	r := &relay{p: p, client: nc, up: p.up, down: p.down, done: make(chan struct{})}
	peer := false
	if p.route != nil {
		if up, down, ok := p.route(nc.RemoteAddr()); ok {
			r.up, r.down, peer = up, down, true
		}
	}
	if p.reads && !peer {
		r.session = &session{p: p, r: r}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.off || p.refusing && !peer {
		_ = nc.SetLinger(0)
		_ = nc.Close()
		return
	}
	p.stats.Connections++
	p.relays[r] = struct{}{}
	p.wg.Go(r.run)
}

// forget drops a relay that has ended.
func (p *Proxy) forget(r *relay, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.relays, r)
	if reset {
		p.stats.Resets++
	}
}

// Close ends the proxy and its connections. A second call does nothing.
func (p *Proxy) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	_ = p.relisten() // closing only
	var open []*relay
	for r := range p.relays {
		open = append(open, r)
	}
	p.mu.Unlock()
	for _, r := range open {
		r.end(true)
	}
	p.wg.Wait()
	p.port.release()
}
