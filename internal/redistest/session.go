package redistest

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"sync"
)

// expected is a reply that the server owes.
type expected struct {
	swallow *Swallow
	command []string
	// pushes is how many confirmations a subscription brings in the reply's
	// place in RESP3: pushes, one a channel. -1 means that it was confirmed.
	pushes int
}

// A session follows the protocol on one connection: which reply belongs to which
// command. Where it cannot (RESP2 subscriptions, MONITOR, replication, malformed
// data) it lets the rest through unread.
type session struct {
	p *Proxy
	r *relay

	mu     sync.Mutex
	queue  []expected
	resp3  bool
	blind  bool // replies cannot be matched any more
	silent bool // a reply was swallowed: nothing more goes down
}

// readCommands reads what the client sends.
func (s *session) readCommands(src *net.TCPConn, emit func([]byte) bool) error {
	f := &framer{r: bufio.NewReaderSize(src, 64<<10)}
	for {
		raw, err := f.command()
		if errors.Is(err, errMalformed) {
			s.goBlind()
			if !emit(raw) {
				return net.ErrClosed
			}
			return copyRaw(f.r, emit)
		}
		if err != nil {
			if len(raw) > 0 {
				emit(raw)
			}
			return err
		}
		if args := commandArgs(raw); len(args) > 0 {
			s.sent(args)
		}
		if !emit(raw) {
			return net.ErrClosed
		}
	}
}

func (s *session) goBlind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blind = true
}

// sent notes a command before the server can see it.
func (s *session) sent(args []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := expected{}
	switch name := strings.ToUpper(args[0]); name {
	case "HELLO":
		s.resp3 = len(args) > 1 && args[1] == "3" || len(args) == 1 && s.resp3
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		if s.resp3 {
			e.pushes = max(1, len(args)-1)
		} else {
			s.blind = true
		}
	case "MONITOR", "SYNC", "PSYNC":
		s.blind = true
	case "CLIENT":
		// OFF and SKIP make replies fail to come.
		if len(args) > 2 && strings.EqualFold(args[1], "REPLY") && !strings.EqualFold(args[2], "ON") {
			s.blind = true
		}
	}
	s.p.mu.Lock()
	s.p.stats.Commands++
	if !s.blind && e.pushes == 0 {
		for i, w := range s.p.swallows {
			if w.match(args) {
				s.p.swallows = append(s.p.swallows[:i:i], s.p.swallows[i+1:]...)
				e.swallow, e.command = w, args
				break
			}
		}
	}
	s.p.mu.Unlock()
	if !s.blind {
		s.queue = append(s.queue, e)
	}
}

// readReplies reads what the server sends.
func (s *session) readReplies(src *net.TCPConn, emit func([]byte) bool) error {
	f := &framer{r: bufio.NewReaderSize(src, 64<<10)}
	for {
		raw, err := f.value()
		if errors.Is(err, errMalformed) {
			s.goBlind()
			if !emit(raw) {
				return net.ErrClosed
			}
			return copyRaw(f.r, emit)
		}
		if err != nil {
			if len(raw) > 0 && !s.isSilent() {
				emit(raw)
			}
			return err
		}
		swallow := s.received(raw)
		if swallow != nil {
			swallow.reply = raw
			close(swallow.done)
			if swallow.reset {
				s.r.end(true)
				return net.ErrClosed
			}
		}
		if !s.isSilent() && !emit(raw) {
			return net.ErrClosed
		}
	}
}

func (s *session) isSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent
}

// received matches what the server sent with the command it answers, and returns
// the swallow that the reply is for, if one is.
func (s *session) received(raw []byte) *Swallow {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.blind {
		return nil
	}
	if raw[0] == '>' {
		s.p.stats.Pushes++
		s.confirm(raw)
		return nil
	}
	s.p.stats.Replies++
	for len(s.queue) > 0 {
		e := s.queue[0]
		s.queue = s.queue[1:]
		if e.pushes < 0 {
			continue // a subscription that was confirmed has no other reply
		}
		// A subscription that was not confirmed has failed: this is its error.
		if e.swallow == nil {
			return nil
		}
		s.p.stats.Swallowed++
		s.silent = true
		e.swallow.command = e.command
		return e.swallow
	}
	return nil
}

// confirm counts the confirmation of a subscription; other pushes are ignored.
func (s *session) confirm(push []byte) {
	kind := pushKind(push)
	if !strings.HasSuffix(kind, "subscribe") {
		return
	}
	for i := range s.queue {
		e := &s.queue[i]
		switch {
		case e.pushes > 1:
			e.pushes--
			return
		case e.pushes == 1:
			e.pushes = -1
			return
		case e.pushes == 0:
			return // the server has not come further than this command
		}
	}
}

// pushKind returns a push's first element, such as "message" or "invalidate".
func pushKind(push []byte) string {
	parts := strings.SplitN(string(push[:min(len(push), 64)]), "\r\n", 4)
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}
