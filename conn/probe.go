package conn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// minProbePause keeps calls that time out often from turning into a storm of
// probes.
const minProbePause = 10 * time.Millisecond

// kick has the prober look at once.
func (c *Client) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// connLost is called by the reader of a connection that broke, before rueidis
// knows of it.
func (c *Client) connLost(addr string, err error) {
	c.stats.connsLost.Add(1)
	if c.closing.Load() {
		return
	}
	c.gate.suspect()
	c.lost.Store(&lostConn{addr, err})
	c.kick()
}

// lostConn is the last connection that was lost.
type lostConn struct {
	addr string
	err  error
}

// prober owns the state of a Client: it alone connects, asks, and moves from
// state to state.
type prober struct {
	c        *Client
	failures int                  // rounds in a row
	asking   map[string]*question // the last one to each node
	running  sync.WaitGroup       // questions on their way
	cluster  topology
}

func (c *Client) probeLoop() {
	defer close(c.stopped)
	select {
	case <-c.started:
	case <-c.ctx.Done():
		return
	}
	p := &prober{c: c, asking: map[string]*question{}}
	defer p.running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.ctx.Done():
			return
		}
		began := time.Now()
		p.round()
		pause := p.pause()
		if rest := minProbePause - time.Since(began); rest > 0 {
			// A kick in the meantime stays in wake.
			select {
			case <-time.After(rest):
			case <-c.ctx.Done():
				return
			}
		}
		timer.Reset(pause)
	}
}

// pause is the time until the next round: the probe interval, give or take a
// tenth, so that processes that started together do not stay in step; or the
// back-off while something is wrong.
func (p *prober) pause() time.Duration {
	if p.failures == 0 {
		d := p.c.cfg.ProbeInterval
		return d - d/10 + rand.N(d/5+1) //nolint:gosec // jitter is no secret
	}
	return min(backoff(p.failures), p.c.cfg.ProbeInterval)
}

func (p *prober) round() {
	c := p.c
	c.stats.probes.Add(1)
	generation, abandoned := c.gate.generation.Load(), c.gate.abandoned.Load()
	if lost := c.lost.Swap(nil); lost != nil {
		p.cluster.age = topologyRounds // it may be a primary that we do not know yet
		if p.matters(lost.addr) {
			c.states.set(Reconnecting, lost.err)
		}
	}
	fresh, err := p.connectAndAsk()
	if c.ctx.Err() != nil {
		return
	}
	if err == nil {
		p.failures = 0
		c.last.Store(nil)
		c.states.set(Connected, nil)
		if fresh && c.dialer.handshakes.Load() == 0 {
			c.gate.answered(generation, abandoned)
		}
		c.first.end(nil)
		return
	}
	p.failures++
	c.gate.suspect()
	c.last.Store(&err)
	if Retry(err) == RetryNo && !isConnLoss(err) && isPermanent(err) {
		c.states.set(Failed, err)
	} else {
		c.states.set(Reconnecting, err)
	}
	if c.cfg.mode == ModeCluster && c.raw.Load() != nil {
		err = nil // part of a cluster is enough to start with
	}
	c.first.end(err)
}

// matters reports whether the loss of a connection to addr is a loss of
// service: a replica's is not.
func (p *prober) matters(addr string) bool {
	return p.c.cfg.mode != ModeCluster || p.cluster.isPrimary(addr)
}

// isPermanent reports whether err is one of those that only a person mends.
func isPermanent(err error) bool {
	for _, k := range []error{ErrAuth, ErrTLS, ErrPermission, ErrWrongMode, rueidis.ErrNoCache} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// connectAndAsk makes the rueidis client where there is none, and asks every
// primary. fresh says that every question was sent in this round.
func (p *prober) connectAndAsk() (fresh bool, err error) {
	c := p.c
	raw := c.raw.Load()
	if raw == nil {
		if c.State() == Disconnected {
			c.states.set(Connecting, nil)
		}
		client, err := c.connect()
		if client == nil {
			return false, c.openError(err)
		}
		raw = &rawClient{Client: client}
		c.raw.Store(raw)
		if c.ctx.Err() != nil {
			raw.close() // Close may have looked before there was one
			return false, c.ctx.Err()
		}
		if err != nil {
			return false, c.openError(err)
		}
	}
	if c.cfg.mode == ModeCluster {
		return p.askCluster(raw.Client)
	}
	return p.askOne(raw.Client)
}

// askOne asks the only primary there is. PING decides whether it serves; HELLO,
// which a server answers even while it is loading, tells its role and mode. It
// is asked after a failure, and always behind Sentinels, where a primary that
// was demoted goes on answering.
func (p *prober) askOne(raw rueidis.Client) (bool, error) {
	c := p.c
	msg, fresh, err := p.ask("ping", raw, func() rueidis.Completed { return c.builder.Ping().Build() })
	forbidden := err != nil
	if err = c.probeError("ping", err); err != nil {
		return fresh, err
	}
	if text, _ := msg.ToString(); text != "PONG" && !forbidden {
		// Somebody has sent MULTI, or the like, by the raw client. Every caller
		// gets wrong answers now; a new connection ends that.
		c.dialer.hangUp()
		return false, &Error{Op: "probe", Addr: c.onlyAddr(), Kinds: []error{ErrConnectionLost}, Err: fmt.Errorf(
			"PING was answered %q: something changed the state of the shared connection, which was closed", truncate(text))}
	}
	if c.State() == Connected && c.cfg.mode != ModeSentinel {
		return fresh, nil
	}
	hello, freshHello, err := p.ask("hello", raw, func() rueidis.Completed { return c.builder.Arbitrary("HELLO").Build() })
	forbidden = err != nil
	if err = c.probeError("hello", err); err != nil || forbidden {
		return fresh && freshHello, err
	}
	return fresh && freshHello, c.checkHello(hello)
}

// checkHello compares what a server says of itself with the configuration.
func (c *Client) checkHello(msg rueidis.RedisMessage) error {
	hello, err := msg.AsMap()
	if err != nil {
		return nil //nolint:nilerr // an answer all the same; a proxy, perhaps
	}
	text := func(key string) string {
		m := hello[key]
		s, _ := m.ToString()
		return s
	}
	mode, role := text("mode"), text("role")
	switch {
	case c.cfg.mode == ModeStandalone && mode == "cluster":
		return &Error{Op: "connect", Kinds: []error{ErrWrongMode}, Err: fmt.Errorf("%s is a cluster node: set Config.Mode to cluster, or mode=cluster in the URL", c.cfg.Addrs[0])}
	case c.cfg.mode == ModeStandalone && mode == "sentinel":
		return &Error{Op: "connect", Kinds: []error{ErrWrongMode}, Err: fmt.Errorf("%s is a Sentinel: set Config.SentinelMaster, or master_set in the URL", c.cfg.Addrs[0])}
	case c.cfg.mode == ModeSentinel && role != "" && role != "master":
		return &Error{Op: "probe", Kinds: []error{ErrReadOnly}, Err: errors.New("the primary was demoted, and the Sentinels have not named another yet")}
	}
	return nil
}

// probeError sorts the failure of a probe. A server that does not know or does
// not allow the command that was asked has answered all the same; any other
// error reply says that it cannot serve us, also one to the handshake.
func (c *Client) probeError(asked string, err error) error {
	if err == nil {
		return nil
	}
	if reply, ok := rueidis.IsRedisErr(err); ok {
		if strings.Contains(strings.ToLower(reply.Error()), "'"+asked) {
			return nil
		}
		e := &Error{Op: "probe", Addr: c.onlyAddr(), Err: c.explainReply(reply)}
		if k := kindOfReply(reply.Error()); k != nil {
			e.Kinds = []error{k}
		}
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Op: "probe", Addr: c.onlyAddr(), Kinds: []error{ErrTimeout}, Err: fmt.Errorf("no answer within %v", c.cfg.ProbeTimeout)}
	}
	return c.callError("probe", false, err)
}

// openError is what Open returns for an attempt that failed.
func (c *Client) openError(err error) error {
	var known *Error
	all := c.dialer.lastErrors()
	if errors.As(err, &known) {
		if len(all) > 1 {
			return &Error{Op: "open", Kinds: known.Kinds, Err: all}
		}
		return &Error{Op: "open", Addr: known.Addr, Kinds: known.Kinds, Err: known.Err}
	}
	if reply, ok := rueidis.IsRedisErr(err); ok {
		kinds := []error{ErrNotConnected}
		if k := kindOfReply(reply.Error()); k != nil {
			kinds = append(kinds, k)
		}
		return &Error{Op: "open", Addr: c.someAddr(), Kinds: kinds, Err: c.explainReply(reply)}
	}
	kinds := []error{ErrNotConnected}
	kinds = append(kinds, kindsOf(err)...)
	if len(all) > 0 {
		err = append(all, err)
	}
	return &Error{Op: "open", Addr: c.someAddr(), Kinds: kinds, Err: err}
}

func (c *Client) someAddr() string {
	if len(c.cfg.Addrs) == 1 {
		return c.cfg.Addrs[0]
	}
	return fmt.Sprintf("one of %v", c.cfg.Addrs)
}
