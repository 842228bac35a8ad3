// Package lock gives one process at a time the right to do something.
//
//	locks, err := lock.New(c, lock.Options{})
//	if err != nil {
//		return err
//	}
//	l, err := locks.TryAcquire(ctx, "nightly-report", 30*time.Second)
//	switch {
//	case errors.Is(err, lock.ErrHeld):
//		return nil // somebody else does it
//	case err != nil:
//		return err
//	}
//	defer l.Release(ctx)
//	return report(l.Context(), l.Fence())
//
// c is a [conn.Client]; see package conn for how to open one.
//
// # What is promised
//
// Do the work under [Lock.Context]. It ends before the lock can be anyone
// else's: its time is counted from before the request was sent, and is 1% and
// 2 ms shorter than the TTL that Redis counts. Nobody prolongs a lock, so choose
// a TTL that is longer than the work.
//
// That fails when Redis loses the key (a failover that lost the write, a flush,
// eviction), when its clock steps forward, or when this process is stopped while
// it writes somewhere (a suspended machine, a long pause). [Lock.Fence] is for
// those cases: a number that is greater for every later holder. Send it along
// with each write, and let the place that is written to refuse a number smaller
// than the greatest it has seen.
//
// # What is in Redis
//
// "<prefix>lock:{<name>}", a random token with a TTL, and
// "<prefix>lock:{<name>}:fence", the last fence, for 24 hours. A fence is the
// server's clock in microseconds, or one more than the last one where that is
// greater, so that it grows although the counter was lost.
//
// # What it does today
//
// TryAcquire and Release, one round trip each. There is no waiting for a lock,
// no prolonging, no look at who holds it, and no quorum over several servers.
//
// # Errors
//
// [ErrHeld] and [ErrNotHeld] are answers; the others are those of package conn
// and match with errors.Is. None shows a token.
package lock
