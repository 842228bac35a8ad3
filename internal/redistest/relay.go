package redistest

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A chunk is a piece of a stream on its way through a relay. One with err set is
// the stream's end.
type chunk struct {
	data    []byte
	arrived time.Time
	err     error
}

// chunksInFlight bounds what a relay holds for one direction; beyond it the
// sender's own TCP window fills, as on a real link.
const chunksInFlight = 256

// A relay is one connection through a proxy. Each direction has a goroutine that
// reads and one that writes, so that a delay moves bytes later without making
// those behind them wait in turn.
type relay struct {
	p        *Proxy
	client   *net.TCPConn
	up, down *valve
	session  *session // nil: the bytes are not looked into

	mu     sync.Mutex
	server *net.TCPConn // nil until connected
	ended  bool
	done   chan struct{}
}

// run carries the connection until it ends.
func (r *relay) run() {
	defer r.end(false)
	// A black hole swallows the connection request as well: the server must not
	// see a connection that the client could not have made.
	if !r.up.pass(time.Now(), 0, r.done) {
		r.end(true)
		return
	}
	nc, err := net.DialTimeout("tcp4", r.p.target, 5*time.Second)
	server, ok := nc.(*net.TCPConn)
	if err != nil || !ok { // nothing but an error gives another kind
		r.end(true)
		return
	}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		_ = server.Close()
		return
	}
	r.server = server
	r.mu.Unlock()

	readUp, readDown := readRaw, readRaw
	if r.session != nil {
		readUp, readDown = r.session.readCommands, r.session.readReplies
	}
	var both sync.WaitGroup
	both.Go(func() { r.carry(server, r.client, r.up, readUp) })
	both.Go(func() { r.carry(r.client, server, r.down, readDown) })
	both.Wait()
}

// carry moves one direction's bytes until its end.
func (r *relay) carry(dst, src *net.TCPConn, v *valve, read func(*net.TCPConn, func([]byte) bool) error) {
	chunks := make(chan chunk, chunksInFlight)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		send := func(c chunk) bool {
			c.arrived = time.Now()
			select {
			case chunks <- c:
				return true
			case <-r.done:
				return false
			}
		}
		err := read(src, func(b []byte) bool { return send(chunk{data: b}) })
		send(chunk{err: err})
	})
	if !r.write(dst, chunks, v) {
		r.end(true)
	}
}

// write sends chunks on as the valve allows. It returns false if the connection
// has to be reset, and true if the stream came to its orderly end.
func (r *relay) write(dst *net.TCPConn, chunks <-chan chunk, v *valve) bool {
	var batch []byte
	for {
		state, changed := v.state()
		if state == resetting {
			return false
		}
		var c chunk
		select {
		case c = <-chunks:
		case <-changed: // it may have become one that resets, also when idle
			continue
		case <-r.done:
			return true
		}
		if !v.pass(c.arrived, len(c.data), r.done) {
			return false
		}
		batch = append(batch[:0], c.data...)
		// Join what is ready, or a pipeline would cost a packet each command.
		for more := v.plain(); more && c.err == nil && len(batch) < 64<<10; {
			select {
			case c = <-chunks:
				batch = append(batch, c.data...)
			default:
				more = false
			}
		}
		if len(batch) > 0 {
			if _, err := dst.Write(batch); err != nil {
				return false
			}
		}
		if c.err != nil {
			if !errors.Is(c.err, io.EOF) {
				return false
			}
			_ = dst.CloseWrite()
			return true
		}
	}
}

// readRaw reads a stream as it comes.
func readRaw(src *net.TCPConn, emit func([]byte) bool) error {
	return copyRaw(src, emit)
}

func copyRaw(src io.Reader, emit func([]byte) bool) error {
	for {
		b := make([]byte, 32<<10)
		n, err := src.Read(b)
		if n > 0 && !emit(b[:n]) {
			return net.ErrClosed
		}
		if err != nil {
			return err
		}
	}
}

// end closes both sides, with a reset or without. The first call counts.
func (r *relay) end(reset bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	close(r.done)
	for _, c := range []*net.TCPConn{r.client, r.server} {
		if c == nil {
			continue
		}
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
	r.p.forget(r, reset)
}
