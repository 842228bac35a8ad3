// Package ratelimit counts what callers do, in Redis, and says when it was too
// much.
//
//	logins, err := ratelimit.New(c, "login", ratelimit.Options{
//		Limit: ratelimit.Limit{Max: 5, Window: time.Minute},
//	})
//	if err != nil {
//		return err
//	}
//	r, err := logins.Consume(ctx, userName)
//	switch {
//	case err != nil:
//		// Redis did not answer: let them in or not, as suits you
//	case !r.Allowed:
//		return fmt.Errorf("too many attempts: try again in %v", r.RetryAfter)
//	}
//
// c is a [conn.Client]; see package conn for how to open one.
//
// # What is promised
//
// In no window, wherever it begins, is more than Limit.Max admitted, whichever
// processes ask: a call is one script on the server, which takes the server's
// time. A call that is denied charges nothing. The price is a little lateness:
// what was consumed counts for up to a twelfth of the window longer than the
// window, as a sliding window is kept in 12 steps.
//
// The promise holds while the server keeps its data (no eviction, no failover
// that loses writes) and its clock does not step forward. When the clock steps
// back, what was consumed counts as if it were consumed then.
//
// # What is in Redis
//
// One string per identifier and window, under
// "<prefix>ratelimit:{<identifier>}:<action>:<window>": 13 counters, less than
// 400 bytes beside the key itself however many calls there are. Its TTL is a
// little more than the window. The identifier is readable there.
//
// # What it does today
//
// Consume, one round trip per call. There is no way to look without consuming,
// to give back, to wait, or to check several limits at once; there is no local
// memory of who was denied, and no HTTP middleware.
//
// # Errors
//
// A denial is no error. Errors are those of package conn and match with
// errors.Is: after [conn.ErrUnknownOutcome] the call may have been charged. They
// name the action, and only a hash of the identifier.
package ratelimit
