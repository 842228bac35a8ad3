package health

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/conn"
)

// replied is an error reply as conn hands it out.
func replied(kind error, text string) error {
	e := &conn.Error{Op: "pipeline", Err: &replyError{text}}
	if kind != nil {
		e.Kinds = []error{kind}
	}
	return e
}

// What one server answers, and what that means.
func TestAssess(t *testing.T) {
	t.Parallel()
	with := func(change func(*answer), lines ...string) answer {
		a := says(lines...)
		if change != nil {
			change(&a)
		}
		return a
	}
	for _, tc := range []struct {
		name   string
		answer answer
		status Status
		reason Reason
		is     error
		warns  []string
	}{
		{"healthy", says(), StatusOK, ReasonNone, nil, nil},
		{"refused", answer{err: refused("h:1")}, StatusDown, ReasonRefused, conn.ErrRefused, nil},
		{"unknown error", answer{err: errors.New("?")}, StatusDown, ReasonError, nil, nil},
		{"PING says LOADING", with(func(a *answer) { a.ping = replied(conn.ErrLoading, "LOADING Redis is") }), StatusDown, ReasonLoading, conn.ErrLoading, nil},
		{"INFO says loading", says("loading:1", "loading_eta_seconds:3", "loading_loaded_perc:12.5"), StatusDown, ReasonLoading, conn.ErrLoading, nil},
		{"a replica that loads aside", says("loading:1", "async_loading:1"), StatusOK, ReasonNone, nil, nil},
		{"busy", with(func(a *answer) { a.ping = replied(conn.ErrBusy, "BUSY"); a.infoErr = a.ping; a.info = "" }), StatusDown, ReasonBusy, conn.ErrBusy, nil},
		{"PING says MISCONF", with(func(a *answer) { a.ping = replied(conn.ErrPersistence, "MISCONF") }, "rdb_last_bgsave_status:err"), StatusDegraded, ReasonPersistence, conn.ErrPersistence, nil},
		{"the file cannot be written", says("aof_enabled:1", "aof_last_write_status:err"), StatusDegraded, ReasonPersistence, conn.ErrPersistence, nil},
		{"the last snapshot failed", says("rdb_last_bgsave_status:err"), StatusOK, ReasonNone, nil, []string{WarnSaveFailed}},
		{"a replica", says("role:slave", "slave_read_only:1", "master_link_status:up", "master_host:p", "master_port:1"), StatusDegraded, ReasonReadOnly, conn.ErrReadOnly, nil},
		{"a replica that takes writes", says("role:slave", "slave_read_only:0", "master_link_status:up"), StatusOK, ReasonNone, nil, nil},
		{"a replica that lost its primary", says("role:slave", "slave_read_only:1", "master_link_status:down"), StatusDegraded, ReasonReplicationLinkDown, conn.ErrReadOnly, nil},
		{"and refuses reads", with(func(a *answer) { a.ping = replied(conn.ErrMasterDown, "MASTERDOWN") }), StatusDown, ReasonReplicationLinkDown, conn.ErrMasterDown, nil},
		{"out of memory", says("used_memory:200", "maxmemory:100"), StatusDegraded, ReasonOutOfMemory, conn.ErrOutOfMemory, nil},
		{"exactly full is not over", says("used_memory:100", "maxmemory:100"), StatusOK, ReasonNone, nil, nil},
		{"buffers do not count", says("used_memory:200", "maxmemory:100", "mem_not_counted_for_evict:100"), StatusOK, ReasonNone, nil, nil},
		{"nothing to evict", says("used_memory:200", "maxmemory:100", "maxmemory_policy:volatile-ttl", "db0:keys=5,expires=0"), StatusDegraded, ReasonOutOfMemory, conn.ErrOutOfMemory, []string{WarnEviction}},
		{"something to evict", says("used_memory:200", "maxmemory:100", "maxmemory_policy:volatile-ttl", "db0:keys=5,expires=1"), StatusOK, ReasonNone, nil, []string{WarnEviction}},
		{"any key to evict", says("used_memory:200", "maxmemory:100", "maxmemory_policy:allkeys-lfu"), StatusOK, ReasonNone, nil, []string{WarnEviction}},
		{"a policy and no limit", says("maxmemory_policy:allkeys-lfu"), StatusOK, ReasonNone, nil, nil},
		{"no replica", says("min_slaves_good_slaves:0"), StatusDegraded, ReasonNoReplicas, conn.ErrNoReplicas, nil},
		{"one replica", says("min_slaves_good_slaves:1"), StatusOK, ReasonNone, nil, nil},
		{"the write probe is refused", with(func(a *answer) { a.write = replied(conn.ErrOutOfMemory, "OOM") }), StatusDegraded, ReasonOutOfMemory, conn.ErrOutOfMemory, nil},
		{"the write probe is forbidden", with(func(a *answer) { a.write = replied(conn.ErrPermission, "NOPERM") }), StatusOK, ReasonNone, nil, nil},
		{"INFO is forbidden", with(func(a *answer) { a.info, a.infoErr = "", replied(conn.ErrPermission, "NOPERM") }), StatusOK, ReasonNone, nil, []string{WarnInfoForbidden}},
		{"INFO is not there", with(func(a *answer) { a.info, a.infoErr = "", replied(nil, "ERR unknown command 'INFO'") }), StatusOK, ReasonNone, nil, []string{WarnInfoForbidden}},
		{"PING is forbidden", with(func(a *answer) { a.ping = replied(conn.ErrPermission, "NOPERM") }), StatusOK, ReasonNone, nil, nil},
		{"RESP2", with(func(a *answer) { a.hello["proto"] = "2" }), StatusOK, ReasonNone, nil, []string{WarnTrackingUnsupported}},
		{"a cluster's node", with(func(a *answer) { a.hello["mode"] = "cluster" }), StatusDown, ReasonWrongMode, conn.ErrWrongMode, nil},
		{"nothing is persistent", says("aof_enabled:0"), StatusOK, ReasonNone, nil, []string{WarnPersistenceOff}},
		{"nobody knows", with(func(a *answer) { a.saveErr = replied(conn.ErrPermission, "NOPERM") }, "aof_enabled:0"), StatusOK, ReasonNone, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, n := one(tc.answer)
				n.addr = "h:1"
				r := testChecker(t, s, Options{}).Check(t.Context())
				if r.Status != tc.status || r.Reason != tc.reason || r.Healthy != (tc.status == StatusOK) || (r.Err == nil) != r.Healthy {
					t.Errorf("%s/%s, not %s/%s: %v", r.Status, r.Reason, tc.status, tc.reason, r.Err)
				}
				if tc.is != nil && !errors.Is(r.Err, tc.is) {
					t.Errorf("%v is not %v", r.Err, tc.is)
				}
				var codes []string
				for _, w := range r.Warnings {
					codes = append(codes, w.Code)
				}
				if !slices.Equal(codes, tc.warns) {
					t.Errorf("warnings %q, not %q", codes, tc.warns)
				}
			})
		})
	}
}

func TestPersistence(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		aof  string
		save saveAnswer
		want Persistence
	}{
		{"1", saveAnswer{known: true, points: "3600 1"}, PersistenceBoth},
		{"1", saveAnswer{known: true}, PersistenceAOF},
		{"1", saveAnswer{refused: true}, PersistenceAOF},
		{"0", saveAnswer{known: true, points: "3600 1"}, PersistenceRDB},
		{"0", saveAnswer{known: true}, PersistenceOff},
		{"0", saveAnswer{refused: true}, PersistenceUnknown},
	} {
		if got := persistence(tc.save, fields{"aof_enabled": tc.aof}); got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

// What a node's own client returns becomes an error that says as much as conn's.
func TestNodeError(t *testing.T) {
	t.Parallel()
	if nodeError("PING", "h:1", nil) != nil || nodeError("PING", "h:1", rueidis.Nil) != nil {
		t.Error("no error became one")
	}
	broken := &conn.Error{Addr: "h:1", Err: errors.New("EOF")} // as conn's dialer says it
	for _, tc := range []struct {
		err  error
		want Reason
	}{
		{refused("h:1"), ReasonRefused},
		{broken, ReasonUnreachable},
		{errors.New("EOF"), ReasonUnreachable},
		{timeoutError{}, ReasonNoAnswer},
		{&conn.Error{Op: "PING", Kinds: []error{conn.ErrNotConnected, conn.ErrAuth}}, ReasonAuth},
	} {
		if got := reasonOf(nodeError("PING", "h:1", tc.err)); got != tc.want {
			t.Errorf("%v: %q, not %q", tc.err, got, tc.want)
		}
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// A call that fails while the client pauses between two attempts says no more
// than that; the client knows why.
func TestExplainedByTheClient(t *testing.T) {
	t.Parallel()
	s, n := one(answer{err: &conn.Error{Kinds: []error{conn.ErrNotConnected}, Err: errors.New("the next attempt follows")}})
	k := testChecker(t, s, Options{})
	if r := k.Check(t.Context()); r.Reason != ReasonUnreachable {
		t.Errorf("%s: %v", r.Reason, r.Err)
	}
	s.becomes(conn.StateChange{To: conn.Failed, Cause: &conn.Error{Kinds: []error{conn.ErrAuth}}, At: time.Now()})
	if r := k.Check(t.Context()); r.Reason != ReasonAuth || r.Connection.State != conn.Failed {
		t.Errorf("%s: %v", r.Reason, r.Err)
	}
	// What was, before it answered again, explains nothing.
	s.becomes(conn.StateChange{To: conn.Connected, At: time.Now()})
	if r := k.Check(t.Context()); r.Reason != ReasonUnreachable {
		t.Errorf("%s: %v", r.Reason, r.Err)
	}
	n.set(says())
	if r := k.Check(t.Context()); !r.Healthy {
		t.Errorf("%s: %v", r.Reason, r.Err)
	}
}
