package conn

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// ScriptOption changes how a Script is sent.
type ScriptOption int

const (
	// ScriptReadOnly declares that the script writes nothing: it is sent by
	// EVALSHA_RO, so Redis refuses its writes, and is tried again like a read.
	ScriptReadOnly ScriptOption = 1 << iota
	// ScriptRetryable declares that running the script twice does the same as
	// running it once: it is tried again like a read when a reply is lost.
	ScriptRetryable
)

// Script is a Lua script. It is sent by its digest, and as a whole where the
// server does not know it yet (or no longer: SCRIPT FLUSH and restarts go
// unnoticed). A Script is immutable and safe for concurrent use.
//
// All keys that a script touches are to be passed as keys, and data as
// arguments; never put data into the source.
type Script struct {
	name, source, sha   string
	readOnly, retryable bool
}

// NewScript returns the script with that source; name is for errors and
// metrics ("cache.fill").
func NewScript(name, source string, opts ...ScriptOption) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
	s := &Script{name: name, source: source, sha: hex.EncodeToString(sum[:])}
	for _, o := range opts {
		s.readOnly = s.readOnly || o&ScriptReadOnly != 0
		s.retryable = s.retryable || o&ScriptRetryable != 0
	}
	return s
}

// Name returns the name given to NewScript.
func (s *Script) Name() string { return s.name }

// Run runs the script in one round trip; in two where the server does not know
// it. Keys of different slots are ErrCrossSlot, on a standalone server too, so
// that what works there works in a cluster; nothing is sent then.
func (s *Script) Run(ctx context.Context, c *Client, keys, args []string) rueidis.RedisResult {
	if err := s.check(keys); err != nil {
		return rueidis.NewErrorResult(err)
	}
	start := time.Now()
	res := c.do(ctx, s.command(c, keys, args, true))
	if isNoScript(res.NonRedisError()) {
		// Not run, so sending it again is safe.
		res = c.do(ctx, s.command(c, keys, args, false))
	}
	res = s.rename(res)
	if c.Observed() {
		c.Observe(ctx, Event{Module: "conn", Op: s.name, Start: start, Duration: time.Since(start), Source: "remote", Outcome: OutcomeOf(res.Error()), Err: failure(res.Error())})
	}
	return res
}

func (s *Script) check(keys []string) error {
	if !SameSlot(keys...) {
		return &Error{Op: s.name, Kinds: []error{ErrCrossSlot}, Err: fmt.Errorf("the script's %d keys are of different slots: give them one hash tag (Keyspace.Tagged)", len(keys))}
	}
	return nil
}

// command builds EVALSHA where sha is true, or else EVAL.
func (s *Script) command(c *Client, keys, args []string, sha bool) rueidis.Completed {
	b, n := c.builder, int64(len(keys))
	var cmd rueidis.Completed
	switch {
	case sha && s.readOnly:
		cmd = b.EvalshaRo().Sha1(s.sha).Numkeys(n).Key(keys...).Arg(args...).Build()
	case sha:
		cmd = b.Evalsha().Sha1(s.sha).Numkeys(n).Key(keys...).Arg(args...).Build()
	case s.readOnly:
		cmd = b.EvalRo().Script(s.source).Numkeys(n).Key(keys...).Arg(args...).Build()
	default:
		cmd = b.Eval().Script(s.source).Numkeys(n).Key(keys...).Arg(args...).Build()
	}
	if s.retryable {
		cmd = cmd.ToRetryable()
	}
	return cmd
}

// rename puts the script's name into the error in place of the command's.
func (s *Script) rename(res rueidis.RedisResult) rueidis.RedisResult {
	err := res.NonRedisError()
	if err == nil {
		return res // spares the allocation of e
	}
	var e *Error
	if errors.As(err, &e) {
		named := *e
		named.Op = s.name
		return rueidis.NewErrorResult(&named)
	}
	return res
}

func isNoScript(err error) bool {
	if err == nil {
		return false
	}
	var reply *rueidis.RedisError
	return errors.As(err, &reply) && reply.IsNoScript()
}
