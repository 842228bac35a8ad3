package conn

import (
	"context"

	"github.com/redis/rueidis"
)

// Batch collects commands and scripts that are sent together, in one round
// trip per node. It is not a transaction: other clients' commands may run in
// between, and a command's failure does not stop the others. A Batch is for one
// goroutine and one Exec.
type Batch struct {
	c     *Client
	cmds  []rueidis.Completed
	calls []batchCall // beside cmds
}

// batchCall says what a command of the batch was made from; script is nil for
// a plain command.
type batchCall struct {
	script     *Script
	keys, args []string
	err        error // found before sending
}

// Batch returns an empty Batch.
func (c *Client) Batch() *Batch { return &Batch{c: c} }

// Do adds a command built with Client.B.
func (b *Batch) Do(cmd rueidis.Completed) {
	b.cmds = append(b.cmds, cmd)
	b.calls = append(b.calls, batchCall{})
}

// Run adds a script. Where its keys are of different slots, its result is
// ErrCrossSlot and the rest of the batch is sent without it.
func (b *Batch) Run(s *Script, keys, args []string) {
	call := batchCall{script: s, keys: keys, args: args, err: s.check(keys)}
	var cmd rueidis.Completed
	if call.err == nil {
		cmd = s.command(b.c, keys, args, true)
	}
	b.cmds = append(b.cmds, cmd)
	b.calls = append(b.calls, call)
}

// Len returns how many results Exec will return.
func (b *Batch) Len() int { return len(b.calls) }

// Exec sends the batch and returns the results in the order of the additions,
// each as Client.Do's or Script.Run's. Scripts that a server does not know are
// sent again, in a second round trip, and so run after the rest. The Batch is
// empty afterwards.
func (b *Batch) Exec(ctx context.Context) []rueidis.RedisResult {
	// Commands can be sent once: what is left is an empty Batch.
	defer func() { b.cmds, b.calls = nil, nil }()
	res := make([]rueidis.RedisResult, len(b.calls))
	b.send(ctx, res, func(i int) (rueidis.Completed, bool) {
		if err := b.calls[i].err; err != nil {
			res[i] = rueidis.NewErrorResult(err)
			return rueidis.Completed{}, false
		}
		return b.cmds[i], true
	})
	b.send(ctx, res, func(i int) (rueidis.Completed, bool) {
		call := b.calls[i]
		if call.script == nil || call.err != nil || !isNoScript(res[i].NonRedisError()) {
			return rueidis.Completed{}, false
		}
		return call.script.command(b.c, call.keys, call.args, false), true
	})
	for i, call := range b.calls {
		if call.script != nil {
			res[i] = call.script.rename(res[i])
		}
	}
	return res
}

// send sends the commands that pick chooses and puts their results into res.
func (b *Batch) send(ctx context.Context, res []rueidis.RedisResult, pick func(int) (rueidis.Completed, bool)) {
	cmds := make([]rueidis.Completed, 0, len(b.calls))
	index := make([]int, 0, len(b.calls))
	for i := range b.calls {
		if cmd, ok := pick(i); ok {
			cmds, index = append(cmds, cmd), append(index, i)
		}
	}
	for i, r := range b.c.DoMulti(ctx, cmds...) {
		res[index[i]] = r
	}
}
