package conn

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ringSize is the number of commands that rueidis lets wait on one connection
// (2^ringScale); the next one blocks, whatever its context says.
const (
	ringScale = 10
	ringSize  = 1 << ringScale
	headroom  = 64 // for what rueidis and the prober send themselves
)

// gateway decides how a call is made, so that every call comes back in time.
//
// A call into rueidis can outlast its context in two ways: it waits for a
// place in a full ring, or for a connection that somebody else is dialling.
// While the gateway is open neither can happen: every connection in use has
// answered a probe, and fewer calls are under way than the smallest ring has
// places. Calls are then made directly, at the cost of two atomic additions.
//
// A call that is given up leaves its command in the ring, invisible to us. So
// the first one, like the loss of a connection, shuts the gateway; it opens
// when every primary has answered a probe that was sent afterwards: replies
// come in order, so the abandoned commands are gone by then. While it is shut,
// calls run on a goroutine each, bounded by Config.MaxPending, and the caller
// stops waiting at its deadline.
//
// The races: (1) calls that entered while the gateway was open and are given
// up later keep their places, but they are counted in calls until suspect has
// shut the gateway, so no more than ringSize-headroom places are ever taken by
// direct calls. (2) The prober opens the gateway while a call is being given
// up: it compares the generation before and after, and suspect raises the
// generation before it shuts, so one of the two leaves it shut. (3) A
// connection breaks between a caller's look and its call: the broken
// connection fails the call at once, and only a call that finds rueidis
// already dialling waits, for at most the connect time-out; the window is the
// few instructions between two loads.
type gateway struct {
	calls      atomic.Int64 // calls under way, direct or not
	open       atomic.Bool
	generation atomic.Uint64 // raised at each suspicion
	closed     atomic.Bool
	pending    chan struct{} // one place for each goroutine of a call that is not direct
	drained    chan struct{} // buffered: calls became 0 after shut
}

func newGateway(maxPending int) gateway {
	return gateway{pending: make(chan struct{}, maxPending), drained: make(chan struct{}, 1)}
}

func (g *gateway) enter() (direct, ok bool) {
	n := g.calls.Add(1)
	if g.closed.Load() {
		g.leave()
		return false, false
	}
	return n <= ringSize-headroom && g.open.Load(), true
}

func (g *gateway) leave() {
	if g.calls.Add(-1) == 0 && g.closed.Load() {
		select {
		case g.drained <- struct{}{}:
		default:
		}
	}
}

func (g *gateway) suspect() {
	g.generation.Add(1)
	g.open.Store(false)
}

// reopen opens the gateway if nothing was suspected since generation.
func (g *gateway) reopen(generation uint64) {
	if g.generation.Load() != generation {
		return
	}
	g.open.Store(true)
	if g.generation.Load() != generation {
		g.open.Store(false)
	}
}

func (g *gateway) shut() {
	g.closed.Store(true)
	g.suspect()
}

// awaitBackground returns when no goroutine of a call is left: then it holds
// every place itself.
func (g *gateway) awaitBackground() {
	for range cap(g.pending) {
		g.pending <- struct{}{}
	}
}

// suspect shuts the gateway and has the prober look at once.
func (c *Client) suspect() {
	c.gate.suspect()
	c.kick()
}

// Do sends one command, built with B, and returns its result. The result's
// Error is nil, rueidis' nil reply (see rueidis.IsRedisNil), or an *Error of
// this package. The command must not be used again.
//
// Without a deadline in ctx it ends within Config.CommandTimeout, blocking
// commands too. A write that ends without its reply is ErrUnknownOutcome; the
// strings that it was built from must then not be changed, as it may still be
// queued.
func (c *Client) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if c.cfg.Observer != nil {
		return c.doObserved(ctx, cmd)
	}
	return c.do(ctx, cmd)
}

func (c *Client) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	op := cmd.Commands()[0] // rueidis recycles the slice, not the string
	direct, ok := c.gate.enter()
	if !ok {
		return rueidis.NewErrorResult(&Error{Op: op, Kinds: []error{ErrClosed}})
	}
	defer c.gate.leave()
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(notSent(op, err))
	}
	var res rueidis.RedisResult
	if direct && !cmd.IsBlock() {
		cctx, call, stop := c.bound(ctx)
		res = c.raw.Load().Do(cctx, cmd)
		if res.NonRedisError() != nil && cctx.Err() != nil {
			c.giveUp()
		}
		c.unbound(call, stop)
	} else {
		var err error
		if res, err = offload(ctx, c, op, mayWrite(op, cmd), func(ctx context.Context, raw rueidis.Client) rueidis.RedisResult {
			return raw.Do(ctx, cmd)
		}); err != nil {
			return rueidis.NewErrorResult(err)
		}
	}
	return c.result(op, cmd, res)
}

// DoMulti sends commands together, in one round trip per node, and returns
// their results in the same order, each as Do's. Other commands may run between
// them. In mode cluster, commands of different slots may be mixed, but not with
// commands that have no key: that is ErrCrossSlot.
func (c *Client) DoMulti(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	if len(cmds) == 0 {
		return nil
	}
	if c.cfg.Observer != nil {
		return c.doMultiObserved(ctx, cmds)
	}
	return c.doMulti(ctx, cmds)
}

const opPipeline = "pipeline"

func (c *Client) doMulti(ctx context.Context, cmds []rueidis.Completed) []rueidis.RedisResult {
	direct, ok := c.gate.enter()
	if !ok {
		return failAll(len(cmds), &Error{Op: opPipeline, Kinds: []error{ErrClosed}})
	}
	defer c.gate.leave()
	if err := ctx.Err(); err != nil {
		return failAll(len(cmds), notSent(opPipeline, err))
	}
	write, block := false, false
	for i := range cmds {
		write = write || mayWrite(cmds[i].Commands()[0], cmds[i])
		block = block || cmds[i].IsBlock()
	}
	if c.cfg.mode == ModeCluster && mixesSlots(cmds) {
		return failAll(len(cmds), &Error{Op: opPipeline, Kinds: []error{ErrCrossSlot},
			Err: errors.New("commands without a key cannot be sent together with commands of several slots: send them apart")})
	}
	var res []rueidis.RedisResult
	if direct && !block && len(cmds) < rueidis.DefaultBlockingPipeline {
		cctx, call, stop := c.bound(ctx)
		res = c.raw.Load().DoMulti(cctx, cmds...)
		if cctx.Err() != nil {
			c.giveUp()
		}
		c.unbound(call, stop)
	} else {
		var err error
		if res, err = offload(ctx, c, opPipeline, write, func(ctx context.Context, raw rueidis.Client) []rueidis.RedisResult {
			return raw.DoMulti(ctx, cmds...)
		}); err != nil {
			return failAll(len(cmds), err)
		}
	}
	for i := range res {
		res[i] = c.result(opPipeline, cmds[i], res[i])
	}
	return res
}

// result replaces the error of a result by ours.
func (c *Client) result(op string, cmd rueidis.Completed, res rueidis.RedisResult) rueidis.RedisResult {
	err := res.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return res
	}
	return rueidis.NewErrorResult(c.callError(op, mayWrite(op, cmd), err))
}

// bound gives ctx a deadline if it has none. unbound must follow.
func (c *Client) bound(ctx context.Context) (context.Context, *callContext, func() bool) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, nil, nil
	}
	if c.cfg.NewClient != nil {
		// A wrapper may keep the context (in a span, say): do not reuse it.
		ctx, cancel := context.WithTimeout(ctx, c.cfg.CommandTimeout) //nolint:govet // stop cancels
		return ctx, nil, func() bool { cancel(); return true }
	}
	call := c.contexts.Get().(*callContext)
	call.begin(ctx, c.cfg.CommandTimeout)
	if ctx.Done() == nil {
		return call, call, nil
	}
	dl := call.deadline.Load()
	return call, call, context.AfterFunc(ctx, func() { call.fail(dl, ctx.Err()) })
}

func (c *Client) unbound(call *callContext, stop func() bool) {
	if stop != nil && !stop() {
		return // its callback may still be running: let the collector have it
	}
	if call != nil {
		call.end()
	}
}

// giveUp notes that a command was left in a ring.
func (c *Client) giveUp() {
	c.stats.timeouts.Add(1)
	c.suspect()
}

// offload makes a call on a goroutine of its own, and leaves it there when the
// context ends first.
func offload[T any](ctx context.Context, c *Client, op string, write bool, run func(context.Context, rueidis.Client) T) (T, error) {
	var none T
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.CommandTimeout)
		defer cancel()
	}
	select {
	case c.gate.pending <- struct{}{}:
	default:
		select {
		case c.gate.pending <- struct{}{}:
		case <-c.ctx.Done():
			return none, &Error{Op: op, Kinds: []error{ErrClosed}}
		case <-ctx.Done():
			return none, notSent(op, fmt.Errorf("%d calls are waiting already (Config.MaxPending): %w", cap(c.gate.pending), ctx.Err()))
		}
	}
	raw, err := c.await(ctx, op)
	if err != nil {
		<-c.gate.pending
		return none, err
	}
	type outcome struct {
		res   T
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panic = recover() // a misuse of the builder: the caller's, not ours
			<-c.gate.pending
			done <- o
		}()
		o.res = run(ctx, raw)
	}()
	select {
	case o := <-done:
		if o.panic != nil {
			panic(o.panic)
		}
		if c.State() != Connected {
			c.kick() // an answer is news
		}
		return o.res, nil
	case <-ctx.Done():
		c.giveUp()
		return none, c.callError(op, write, ctx.Err())
	}
}

// notSent is the error of a call whose context ended before it was sent.
func notSent(op string, err error) error {
	return &Error{Op: op, Kinds: kindsOf(err), Err: err}
}

func failAll(n int, err error) []rueidis.RedisResult {
	res := make([]rueidis.RedisResult, n)
	for i := range res {
		res[i] = rueidis.NewErrorResult(err)
	}
	return res
}

// keyless are the commands that are no reads in rueidis' eyes, and that change
// nothing: losing their reply leaves nothing unknown.
var keyless = map[string]bool{
	"PING": true, "ECHO": true, "TIME": true, "INFO": true, "HELLO": true, "ROLE": true, "CLUSTER": true, "COMMAND": true,
	"LASTSAVE": true, "DBSIZE": true, "SCAN": true, "PUBSUB": true, "WAIT": true,
}

func mayWrite(op string, cmd rueidis.Completed) bool { return !cmd.IsReadOnly() && !keyless[op] }

func (c *Client) doObserved(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	op, start := cmd.Commands()[0], time.Now()
	res := c.do(ctx, cmd)
	c.Observe(ctx, Event{Module: "conn", Op: op, Start: start, Duration: time.Since(start), Source: "remote", Outcome: OutcomeOf(res.Error()), Err: failure(res.Error())})
	return res
}

func (c *Client) doMultiObserved(ctx context.Context, cmds []rueidis.Completed) []rueidis.RedisResult {
	start, n := time.Now(), len(cmds)
	res := c.doMulti(ctx, cmds)
	var err error
	for i := range res {
		if e := failure(res[i].Error()); e != nil {
			err = e
			break
		}
	}
	c.Observe(ctx, Event{Module: "conn", Op: opPipeline, Start: start, Duration: time.Since(start), Source: "remote", Count: n, Err: err})
	return res
}

// failure returns err unless it is the nil reply.
func failure(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}
