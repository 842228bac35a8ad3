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
// place in a full ring, or for a connection that somebody else is dialling. A
// call that is given up leaves its command in the ring, invisible to us. So we
// count: calls under way, and commands abandoned since the last probe that
// every primary answered (replies come in order, so what was abandoned before
// that probe is gone). While their sum is below the smallest ring's size, and
// no connection was lost since that probe, neither kind of waiting can happen,
// and calls are made directly, at the cost of a few atomic operations.
//
// Otherwise a call runs on a goroutine, bounded by Config.MaxPending, and its
// caller stops waiting at its deadline. Where there is one primary, a call also
// waits, unsent, until its ring has a place: what cannot be sent in time is
// then known not to have been sent, and a server that goes on after a freeze is
// not hit by thousands of commands whose callers are gone. In a cluster we do
// not know which node's ring a command goes to, and one frozen node must not
// keep calls from the others, so there the goroutine waits inside rueidis.
//
// The races: (1) giveUp counts a command as abandoned before its call stops
// counting as under way, so the sum never misses one. (2) The prober opens the
// gateway while a connection breaks: it compares the generation before and
// after, and suspect raises the generation before it shuts, so one of the two
// leaves it shut. (3) A connection breaks between a caller's look and its call:
// the broken connection fails the call at once, and only a call that finds
// rueidis already dialling waits, for at most the connect time-out; the window
// is the few instructions between two loads. (4) Two callers may both find the
// last place: the headroom is for that, too.
type gateway struct {
	direct     atomic.Int64 // calls made directly, under way
	abandoned  atomic.Int64 // commands given up since an answered probe was sent
	waiting    atomic.Int64 // calls that wait for a place in the ring
	open       atomic.Bool
	indirect   atomic.Int64  // other calls under way
	sending    atomic.Int64  // of these, those inside rueidis
	generation atomic.Uint64 // raised at each suspicion
	closed     atomic.Bool
	oneRing    bool
	pending    chan struct{} // one place for each goroutine of a call that is not direct
	room       chan struct{} // buffered: there may be a place in the ring; whoever takes it tries
	drained    chan struct{} // buffered: no call is under way after shut
}

func newGateway(mode Mode, maxPending int) gateway {
	return gateway{
		oneRing: mode != ModeCluster,
		pending: make(chan struct{}, maxPending),
		room:    make(chan struct{}, 1),
		drained: make(chan struct{}, 1),
	}
}

// most is how many commands may be in a ring on behalf of calls.
const most = ringSize - headroom

// enterDirect reports whether a call may be made directly. leaveDirect must
// follow if so, and must not otherwise. Calls that wait come first.
func (g *gateway) enterDirect() bool {
	if g.direct.Add(1)+g.abandoned.Load() <= most && g.open.Load() && g.waiting.Load() == 0 {
		return true
	}
	g.leaveDirect()
	return false
}

func (g *gateway) leaveDirect() {
	n := g.direct.Add(-1)
	if g.waiting.Load() > 0 {
		g.signal(g.room)
	}
	if n == 0 && g.closed.Load() {
		g.signal(g.drained)
	}
}

func (g *gateway) enterIndirect() bool {
	g.indirect.Add(1)
	if g.closed.Load() {
		g.leaveIndirect()
		return false
	}
	return true
}

func (g *gateway) leaveIndirect() {
	if g.indirect.Add(-1) == 0 && g.closed.Load() {
		g.signal(g.drained)
	}
}

func (g *gateway) calls() int64 { return g.direct.Load() + g.indirect.Load() }

func (g *gateway) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// tryRoom takes a place in the ring, if there is one or it does not matter.
func (g *gateway) tryRoom() bool {
	if g.sending.Add(1)+g.direct.Load()+g.abandoned.Load() <= most || !g.oneRing {
		g.signal(g.room) // there may be more: the next one tries
		return true
	}
	g.sending.Add(-1)
	return false
}

func (g *gateway) leaveRoom() {
	g.sending.Add(-1)
	g.signal(g.room)
}

func (g *gateway) suspect() {
	g.generation.Add(1)
	g.open.Store(false)
}

// answered is called when every primary has answered a probe. generation and
// abandoned are what they were before it was sent.
func (g *gateway) answered(generation uint64, abandoned int64) {
	g.abandoned.Add(-abandoned)
	if g.generation.Load() == generation {
		g.open.Store(true)
		if g.generation.Load() != generation {
			g.open.Store(false)
		}
	}
	g.signal(g.room)
}

func (g *gateway) shut() {
	g.closed.Store(true)
	g.suspect()
}

// awaitBackground waits until no goroutine of a call is left: then it holds
// every place itself. It reports false when giveUp is closed first.
func (g *gateway) awaitBackground(giveUp <-chan struct{}) bool {
	for range cap(g.pending) {
		select {
		case g.pending <- struct{}{}:
		case <-giveUp:
			return false
		}
	}
	return true
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
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(notSent(op, err))
	}
	var res rueidis.RedisResult
	if !cmd.IsBlock() && c.gate.enterDirect() {
		cctx, call, stop := c.bound(ctx)
		res = c.raw.Load().Do(cctx, cmd)
		if res.NonRedisError() != nil && cctx.Err() != nil {
			c.giveUp(cctx.Err())
		}
		c.gate.leaveDirect()
		c.unbound(call, stop)
	} else {
		var err error
		how := indirectCall{op: op, write: mayWrite(op, cmd), ownConn: cmd.IsBlock()}
		if res, err = offload(ctx, c, how, func(ctx context.Context, raw rueidis.Client) rueidis.RedisResult {
			return raw.Do(ctx, cmd)
		}); err != nil {
			return rueidis.NewErrorResult(err)
		}
	}
	return c.result(op, mayWrite(op, cmd), res)
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
	if err := ctx.Err(); err != nil {
		return failAll(len(cmds), notSent(opPipeline, err))
	}
	write, block := false, false
	for i := range cmds {
		write = write || mayWrite(cmds[i].Commands()[0], cmds[i])
		block = block || cmds[i].IsBlock()
	}
	if c.cfg.mode == ModeCluster && mixesSlots(cmds) {
		return failAll(len(cmds), &Error{
			Op: opPipeline, Kinds: []error{ErrCrossSlot},
			Err: errors.New("commands without a key cannot be sent together with commands of several slots: send them apart"),
		})
	}
	var res []rueidis.RedisResult
	// What blocks, or is long, gets a connection of its own from rueidis.
	ownConn := block || len(cmds) >= rueidis.DefaultBlockingPipeline
	if !ownConn && c.gate.enterDirect() {
		cctx, call, stop := c.bound(ctx)
		res = c.raw.Load().DoMulti(cctx, cmds...)
		if cctx.Err() != nil {
			c.giveUp(cctx.Err())
		}
		c.gate.leaveDirect()
		c.unbound(call, stop)
	} else {
		var err error
		how := indirectCall{op: opPipeline, write: write, ownConn: ownConn}
		if res, err = offload(ctx, c, how, func(ctx context.Context, raw rueidis.Client) []rueidis.RedisResult {
			return raw.DoMulti(ctx, cmds...)
		}); err != nil {
			return failAll(len(cmds), err)
		}
	}
	for i := range res {
		// The commands' names are gone: what no command of the pipeline could
		// leave unknown, none of its results says.
		res[i] = c.result(opPipeline, write && mayWrite(opPipeline, cmds[i]), res[i])
	}
	return res
}

// result replaces the error of a result by ours.
func (c *Client) result(op string, write bool, res rueidis.RedisResult) rueidis.RedisResult {
	err := res.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return res
	}
	return rueidis.NewErrorResult(c.callError(op, write, err))
}

// bound gives ctx a deadline if it has none. unbound must follow.
func (c *Client) bound(ctx context.Context) (context.Context, *callContext, func() bool) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, nil, nil
	}
	if c.cfg.NewClient != nil {
		// A wrapper may keep the context (in a span, say): do not reuse it.
		ctx, cancel := context.WithTimeout(ctx, c.cfg.CommandTimeout)
		return ctx, nil, func() bool { cancel(); return true }
	}
	call := c.contexts.Get().(*callContext) //nolint:errcheck // the pool holds nothing else
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

// giveUp notes that a call ended before its reply came, and left a command in a
// ring. A time-out is a reason to look at the server; a caller that changed its
// mind is not, unless the ring is filling up.
func (c *Client) giveUp(cause error) {
	c.stats.timeouts.Add(1)
	if c.gate.abandoned.Add(1) > most/4 || errors.Is(cause, context.DeadlineExceeded) {
		c.kick()
	}
}

// indirectCall describes a call to offload.
type indirectCall struct {
	op      string
	write   bool
	ownConn bool // it takes no place in a ring
}

// offload makes a call on a goroutine of its own, and leaves it there when the
// context ends first.
func offload[T any](ctx context.Context, c *Client, how indirectCall, run func(context.Context, rueidis.Client) T) (T, error) {
	var none T
	if !c.gate.enterIndirect() {
		return none, &Error{Op: how.op, Kinds: []error{ErrClosed}}
	}
	defer c.gate.leaveIndirect()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.CommandTimeout)
		defer cancel()
	}
	raw, err := c.await(ctx, how.op)
	if err != nil {
		return none, err
	}
	if err := c.takePlaces(ctx, how); err != nil {
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
			if !how.ownConn {
				if ctx.Err() != nil {
					c.giveUp(ctx.Err())
				}
				c.gate.leaveRoom()
			}
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
		return none, c.callError(how.op, how.write, ctx.Err())
	}
}

// takePlaces waits for a goroutine's place and for one in the ring.
func (c *Client) takePlaces(ctx context.Context, how indirectCall) error {
	g, op := &c.gate, how.op
	select {
	case g.pending <- struct{}{}:
	default:
		select {
		case g.pending <- struct{}{}:
		case <-c.ctx.Done():
			return &Error{Op: op, Kinds: []error{ErrClosed}}
		case <-ctx.Done():
			return notSent(op, fmt.Errorf("%d calls are waiting already (Config.MaxPending): %w", cap(g.pending), ctx.Err()))
		}
	}
	if how.ownConn || g.tryRoom() {
		return nil
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	for !g.tryRoom() { // again, as leaveDirect only signals those that it sees
		select {
		case <-g.room:
		case <-c.ctx.Done():
			<-g.pending
			return &Error{Op: op, Kinds: []error{ErrClosed}}
		case <-ctx.Done():
			<-g.pending
			return notSent(op, fmt.Errorf("not sent, as the server is not answering: %w", ctx.Err()))
		}
	}
	return nil
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
