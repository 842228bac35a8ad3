package redistest

import (
	"context"
	"fmt"
	"strings"
)

// A Swallow is one reply that a [Proxy] is to take away.
type Swallow struct {
	p     *Proxy
	match func(args []string) bool
	reset bool

	done    chan struct{}
	command []string
	reply   []byte
}

// SwallowReply takes away the reply to the next command for which match returns
// true, after the server has executed it: the client sent a write and cannot
// know whether it was applied. With reset the connection is reset in its place;
// without, the client hears nothing more on that connection, though what it
// sends still reaches the server, because any later reply would look to it like
// the one that is missing. match runs on the connection's goroutine, gets the
// command's name and arguments, and must not keep them; see [Command]. It is an
// error where the proxy does not read the protocol.
func (p *Proxy) SwallowReply(match func(args []string) bool, reset bool) (*Swallow, error) {
	if !p.reads {
		return nil, fmt.Errorf("redistest: the proxy to %s does not read the protocol (TLS, or raw), so it cannot find a reply", p.target)
	}
	s := &Swallow{p: p, match: match, reset: reset, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallows = append(p.swallows, s)
	return s, nil
}

// Wait waits until the reply was swallowed, and returns the command and the raw
// reply to it, which shows that the server executed it.
func (s *Swallow) Wait(ctx context.Context) (command []string, reply []byte, err error) {
	select {
	case <-s.done:
		return s.command, s.reply, nil
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("redistest: no reply was swallowed: %w", ctx.Err())
	}
}

// Cancel disarms a swallow that has matched no command yet.
func (s *Swallow) Cancel() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for i, other := range s.p.swallows {
		if other == s {
			s.p.swallows = append(s.p.swallows[:i:i], s.p.swallows[i+1:]...)
			return
		}
	}
}

// Command matches a command by its name, in any case, and the first of its
// arguments: Command("SET", "k") matches SET k v.
func Command(name string, args ...string) func([]string) bool {
	return func(got []string) bool {
		if len(got) <= len(args) || !strings.EqualFold(got[0], name) {
			return false
		}
		for i, a := range args {
			if got[i+1] != a {
				return false
			}
		}
		return true
	}
}
