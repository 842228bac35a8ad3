package conn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Do sends one command, built with B, and returns its result. The result's
// Error is nil, rueidis' nil reply (see rueidis.IsRedisNil), or an *Error of
// this package. The command must not be used again.
//
// Without a deadline in ctx it ends within Config.CommandTimeout, blocking
// commands too. A write that ends without its reply is ErrUnknownOutcome; the
// strings that it was built from must then not be changed, as it may still be
// queued.
//
// Commands that change the state of a connection (MULTI, SELECT, SUBSCRIBE and
// the like) are refused with an *ArgumentError: all callers share the connection.
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
	if err := checkShared(cmd); err != nil {
		return rueidis.NewErrorResult(err)
	}
	if cmd.IsBlock() || !c.gate.enterDirect() {
		return c.doIndirect(ctx, op, cmd)
	}
	defer c.gate.leaveDirect() // also when rueidis panics on a misused command
	cctx, call, stop := c.bound(ctx)
	res := c.raw.Load().Do(cctx, cmd)
	if res.NonRedisError() != nil && cctx.Err() != nil {
		c.giveUp(cctx.Err())
	}
	c.unbound(call, stop)
	if res.Error() == nil {
		return res // mayWrite costs as much as the gateway
	}
	return c.result(op, mayWrite(op, cmd), res)
}

// doIndirect is apart from do because its closure moves cmd to the heap, for
// every call of the function that it is in.
func (c *Client) doIndirect(ctx context.Context, op string, cmd rueidis.Completed) rueidis.RedisResult {
	write := mayWrite(op, cmd)
	res, err := offload(ctx, c, indirectCall{op: op, write: write, ownConn: cmd.IsBlock()}, func(ctx context.Context, raw rueidis.Client) rueidis.RedisResult {
		return raw.Do(ctx, cmd)
	})
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	c.heard(res.NonRedisError())
	return c.result(op, write, res)
}

// DoMulti sends commands together, in one round trip per node, and returns
// their results in the same order, each as Do's. Other commands may run between
// them. In mode cluster, commands of different slots may be mixed, but not with
// commands that have no key: that is ErrCrossSlot.
//
// With MULTI first and EXEC last the commands are a transaction: none runs
// unless all were accepted, and no other command runs between them. EXEC's
// result holds the others'. In mode cluster all keys must be of one slot.
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
	if err := checkSharedMulti(cmds); err != nil {
		return failAll(len(cmds), err)
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
		c.heard(res[0].NonRedisError())
	}
	for i := range res {
		if res[i].Error() == nil {
			continue
		}
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
	return call, call, context.AfterFunc(ctx, call.onCancel)
}

func (c *Client) unbound(call *callContext, stop func() bool) {
	if stop != nil && !stop() {
		return // its callback may still be running: let the collector have it
	}
	if call != nil {
		call.end()
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
	"PING": true, "ECHO": true, "TIME": true, "INFO": true, "HELLO": true, "ROLE": true, "COMMAND": true,
	"LASTSAVE": true, "DBSIZE": true, "SCAN": true, "PUBSUB": true, "WAIT": true,
}

// mayWrite reports whether the loss of a command's reply leaves something
// unknown. The command must not have been answered yet: rueidis recycles it.
func mayWrite(op string, cmd rueidis.Completed) bool {
	if op == "CLUSTER" {
		words := cmd.Commands()
		if len(words) < 2 {
			return true
		}
		switch strings.ToUpper(words[1]) {
		case "INFO", "NODES", "SLOTS", "SHARDS", "MYID", "MYSHARDID", "KEYSLOT", "LINKS", "REPLICAS", "COUNTKEYSINSLOT", "GETKEYSINSLOT":
			return false
		}
		return true
	}
	return !cmd.IsReadOnly() && !keyless[op]
}

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
