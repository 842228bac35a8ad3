package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Check asks Redis once how it is. It returns within Options.Timeout or when ctx
// ends, whichever is first, with a result in any case: what went wrong is in the
// Result, and no panic or error reply of a server prevents one.
//
// A ctx that is cancelled gives StatusUnknown. One whose deadline passes before
// the answer came gives ReasonNoAnswer, like Options.Timeout: no answer came in
// the time that there was. Checks at the same moment share their questions.
func (k *Checker) Check(ctx context.Context) Result {
	r := Result{CheckedAt: time.Now(), Mode: k.src.mode()}
	inner, cancel := context.WithTimeout(ctx, k.opts.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		r.fail(ReasonCanceled, fmt.Errorf("health: not checked, as the context had ended: %w", err))
	} else {
		k.run(inner, &r)
	}
	if r.Err != nil && errors.Is(ctx.Err(), context.Canceled) {
		r.fail(ReasonCanceled, fmt.Errorf("health: the check was given up: %w", ctx.Err()))
	}
	if r.ResponseTime == 0 {
		r.ResponseTime = time.Since(r.CheckedAt)
	}
	r.Healthy, r.Status = r.Err == nil, r.status()
	change := k.src.state()
	r.Connection = Connection{State: change.To, Since: change.At}
	k.keep(r)
	k.src.observe(ctx, conn.Event{
		Module: "health", Op: "check", Start: r.CheckedAt, Duration: time.Since(r.CheckedAt), Source: "remote",
		Count: max(1, len(r.Nodes)), Err: r.Err,
	})
	return r
}

func (r *Result) fail(reason Reason, err error) { r.Reason, r.Err = reason, err }

// status returns the status that comes with the reason. A replica that lost its
// primary and refuses reads for it serves nothing.
func (r *Result) status() Status {
	if r.Reason == ReasonReplicationLinkDown && errors.Is(r.Err, conn.ErrMasterDown) {
		return StatusDown
	}
	return r.Reason.status()
}

func (r *Result) warn(code, addr, format string, args ...any) {
	r.Warnings = append(r.Warnings, Warning{Code: code, Addr: addr, Message: fmt.Sprintf(format, args...)})
}

func (k *Checker) run(ctx context.Context, r *Result) {
	nodes, err := k.src.nodes(ctx)
	if err != nil {
		err = k.explain(err)
		r.fail(reasonOf(err), err)
		return
	}
	if r.Mode == conn.ModeCluster {
		k.checkCluster(ctx, r, nodes)
		return
	}
	a := k.ask(ctx, nodes[0], question{})
	if a.addr == "" {
		// A server that does not answer does not say where it is either.
		if last, _, ok := k.Last(); ok && len(last.Nodes) == 1 {
			a.addr = last.Nodes[0].Addr
		}
	}
	n := k.assess(r, a, primaryRole)
	if r.Mode == conn.ModeSentinel && n.Err == nil && n.Server.Info != nil && n.Server.Info.ConnectedReplicas == 0 {
		r.warn(WarnNoReplica, "", "the primary has no replica: the Sentinels could not fail over")
	}
	r.Nodes, r.Server, r.ResponseTime, r.Slow = []Node{n}, n.Server, n.ResponseTime, n.Slow
	if n.Err != nil {
		r.fail(n.Reason, n.Err)
	}
}

// ask puts a question to a node. An answer counts whenever it was asked for, as
// it came now; a failure only if it was asked for after this check began.
func (k *Checker) ask(ctx context.Context, n node, q question) answer {
	q.write = k.opts.WriteProbe
	q.save = k.saveDue(n.addr)
	start := time.Now()
	for {
		a, began, ok := k.asks.do(ctx, n.addr, k.opts.Timeout, func(ctx context.Context) answer {
			a := n.ask(ctx, q)
			if a.err != nil && reasonOf(a.err) == ReasonUnreachable && ctx.Err() == nil {
				// A connection that was lost says nothing of the server: perhaps
				// it was closed for idleness. The next one tells.
				a = n.ask(ctx, q)
			}
			if q.save && a.err == nil {
				k.keepSave(n.addr, a)
			}
			return a
		})
		switch {
		case !ok:
			took := time.Since(start)
			return answer{addr: n.addr, took: took, err: &conn.Error{
				Op: "health", Addr: n.addr, Kinds: []error{conn.ErrTimeout},
				Err: fmt.Errorf("no answer within %v: %w", took.Round(time.Millisecond), ctx.Err()),
			}}
		case a.err != nil && ctx.Err() == nil && (began.Before(start) || errors.Is(a.err, context.Canceled)):
			continue // an old failure, or a question that others gave up
		case a.err != nil:
			a.err = k.explain(a.err)
		}
		a.known = k.saveKnown(n.addr)
		return a
	}
}

// explain adds to an error that only says that there is no connection what the
// client knows of the reason: while it pauses between two attempts to connect,
// calls fail without one.
func (k *Checker) explain(err error) error {
	if reasonOf(err) != ReasonUnreachable || k.src.mode() == conn.ModeCluster {
		return err
	}
	change := k.src.state()
	if change.To != conn.Reconnecting && change.To != conn.Failed {
		return err
	}
	switch reasonOf(change.Cause) {
	case ReasonNone, ReasonError, ReasonUnreachable, ReasonCanceled:
		return err
	}
	return fmt.Errorf("%w; the connection is lost since %s: %w", err, change.At.UTC().Format(time.RFC3339), change.Cause)
}

// saveDue reports whether CONFIG GET save is to be asked.
func (k *Checker) saveDue(addr string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.saves[addr]
	return !s.refused && (!s.known || time.Since(s.asked) >= saveInterval)
}

func (k *Checker) saveKnown(addr string) saveAnswer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saves[addr]
}

func (k *Checker) keepSave(addr string, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch reasonOf(a.saveErr) {
	case ReasonNone:
		k.saves[addr] = saveAnswer{points: a.save, known: true, asked: time.Now()}
	case ReasonPermission, ReasonError:
		k.saves[addr] = saveAnswer{refused: true}
	}
}
