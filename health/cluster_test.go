package health

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relay-platform/redis/conn"
)

// three returns a cluster of three primaries, p0 to p2, and a replica of each.
func three() (*fakeSource, []*fakeNode) {
	var slotMap strings.Builder
	slots := []string{"0-5460", "5461-10922", "10923-16383"}
	var nodes []*fakeNode
	for i := range 6 {
		n := &fakeNode{addr: fmt.Sprintf("10.0.0.%d:6379", i+1), answer: says()}
		role, of, own := "master", "-", slots[i%3]
		if i >= 3 {
			role, of, own = "slave", fmt.Sprintf("id%d", i-3), ""
			n.answer = says("role:slave", "master_link_status:up", "slave_read_only:1")
		}
		n.answer.hello["mode"] = "cluster"
		fmt.Fprintf(&slotMap, "id%d %s@16379 %s %s 0 0 1 connected %s\n", i, n.addr, role, of, own)
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.slotMap = slotMap.String()
	}
	return &fakeSource{is: conn.ModeCluster, fakes: nodes}, nodes
}

// fails makes a node report cluster_state:fail.
func fails(n *fakeNode) {
	n.answer.cluster = "cluster_state:fail\r\ncluster_slots_ok:5461\r\ncluster_slots_assigned:16384\r\n"
}

func TestCluster(t *testing.T) {
	t.Parallel()
	const unknown = -1 // nobody answered
	for _, tc := range []struct {
		name   string
		change func(s *fakeSource, n []*fakeNode)
		status Status
		reason Reason
		is     error
		served int
		warns  string
	}{
		{"healthy", func(*fakeSource, []*fakeNode) {}, StatusOK, ReasonNone, nil, 16384, ""},
		{"a primary is down", func(_ *fakeSource, n []*fakeNode) { n[0].answer = answer{err: refused(n[0].addr)} }, StatusDegraded, ReasonSlotsUncovered, conn.ErrRefused, 10923, ""},
		{"a primary loads", func(_ *fakeSource, n []*fakeNode) { n[1].answer = says("loading:1") }, StatusDegraded, ReasonSlotsUncovered, conn.ErrLoading, 10922, ""},
		{"a primary is cut off and says so", func(_ *fakeSource, n []*fakeNode) { fails(n[2]) }, StatusDegraded, ReasonSlotsUncovered, conn.ErrClusterDown, 10923, ""},
		{"a primary was demoted", func(_ *fakeSource, n []*fakeNode) { n[0].answer = n[3].answer }, StatusDegraded, ReasonSlotsUncovered, conn.ErrReadOnly, 10923, ""},
		{"half is down, the rest serves", func(_ *fakeSource, n []*fakeNode) {
			for _, i := range []int{0, 1, 3} {
				n[i].answer = answer{err: refused(n[i].addr)}
			}
		}, StatusDegraded, ReasonSlotsUncovered, conn.ErrRefused, 5461, WarnReplicaUnreachable},
		{"half is down, the rest refuses", func(_ *fakeSource, n []*fakeNode) {
			for _, i := range []int{0, 1, 3} {
				n[i].answer = answer{err: refused(n[i].addr)}
			}
			for _, i := range []int{2, 4, 5} {
				fails(n[i])
			}
		}, StatusDown, ReasonClusterDown, conn.ErrClusterDown, 0, WarnReplicaUnreachable + " " + WarnNodeDisagrees + " " + WarnNodeDisagrees},
		{"all is down", func(_ *fakeSource, n []*fakeNode) {
			for _, n := range n {
				n.answer = answer{err: refused(n.addr)}
			}
		}, StatusDown, ReasonRefused, conn.ErrRefused, unknown, ""},
		{"a primary is out of memory", func(_ *fakeSource, n []*fakeNode) { n[1].answer = says("used_memory:2", "maxmemory:1") }, StatusDegraded, ReasonOutOfMemory, conn.ErrOutOfMemory, 16384, ""},
		{"a replica is down", func(_ *fakeSource, n []*fakeNode) { n[3].answer = answer{err: refused(n[3].addr)} }, StatusOK, ReasonNone, nil, 16384, WarnReplicaUnreachable},
		{"a replica lost its primary", func(_ *fakeSource, n []*fakeNode) { n[3].answer = says("role:slave", "master_link_status:down") }, StatusOK, ReasonNone, nil, 16384, WarnReplicationLinkDown},
		{"a replica is cut off", func(_ *fakeSource, n []*fakeNode) { fails(n[4]) }, StatusOK, ReasonNone, nil, 16384, WarnNodeDisagrees},
		{"a replica is new", func(s *fakeSource, _ []*fakeNode) { s.fakes = s.fakes[:5] }, StatusOK, ReasonNone, nil, 16384, ""},
		{"a primary is new", func(s *fakeSource, _ []*fakeNode) { s.fakes = s.fakes[1:] }, StatusDegraded, ReasonSlotsUncovered, conn.ErrNotConnected, 10923, ""},
		{"a failed node was dropped", func(s *fakeSource, n []*fakeNode) {
			s.fakes = s.fakes[:5]
			for _, n := range n {
				n.slotMap = strings.Replace(n.slotMap, "slave id2", "slave,fail id2", 1)
			}
		}, StatusOK, ReasonNone, nil, 16384, WarnReplicaUnreachable},
		{"the old primary is dead, another owns its slots", func(_ *fakeSource, n []*fakeNode) {
			n[0].answer, n[3].answer = answer{err: refused(n[0].addr)}, says()
			for _, n := range n {
				n.slotMap = strings.NewReplacer("master - 0 0 1 connected 0-5460", "master,fail - 0 0 1 disconnected",
					"slave id0 0 0 1 connected ", "master - 0 0 1 connected 0-5460").Replace(n.slotMap)
			}
		}, StatusOK, ReasonNone, nil, 16384, WarnReplicaUnreachable},
		{"no slots are assigned", func(_ *fakeSource, n []*fakeNode) {
			for _, n := range n {
				n.slotMap = "id0 10.0.0.1:6379@1 master - 0 0 1 connected\n"
				fails(n)
			}
		}, StatusDown, ReasonClusterDown, conn.ErrClusterDown, 0, WarnNodeDisagrees},
		{"the slot map is refused", func(_ *fakeSource, n []*fakeNode) {
			for _, n := range n {
				n.slotMap = ""
			}
		}, StatusOK, ReasonNone, nil, 16384, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, n := three()
				tc.change(s, n)
				r := testChecker(t, s, Options{}).Check(t.Context())
				if r.Status != tc.status || r.Reason != tc.reason || (r.Err == nil) != r.Healthy {
					t.Fatalf("%s/%s, not %s/%s: %v", r.Status, r.Reason, tc.status, tc.reason, r.Err)
				}
				if tc.is != nil && !errors.Is(r.Err, tc.is) {
					t.Errorf("%v is not %v", r.Err, tc.is)
				}
				if (r.Cluster == nil) != (tc.served == unknown) || r.Cluster != nil && r.Cluster.SlotsServed != tc.served {
					t.Errorf("%+v, not %d slots", r.Cluster, tc.served)
				}
				var codes []string
				for _, w := range r.Warnings {
					codes = append(codes, w.Code)
				}
				if strings.Join(codes, " ") != tc.warns {
					t.Errorf("warnings %q, not %q", codes, tc.warns)
				}
			})
		})
	}
}

// A replica that does not answer holds up a check until SlowAfter, a primary
// until Timeout; and a question that is stuck is not asked a second time.
func TestClusterWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := three()
		k := testChecker(t, s, Options{Timeout: 2 * time.Second, SlowAfter: 300 * time.Millisecond})
		took := func() (time.Duration, Result) {
			start := time.Now()
			r := k.Check(t.Context())
			return time.Since(start), r
		}
		if d, r := took(); d != 0 || !r.Healthy {
			t.Errorf("healthy: %v, %v", d, r.Err)
		}
		n[4].stuck = make(chan struct{})
		for range 5 {
			if d, r := took(); d != 300*time.Millisecond || !r.Healthy || len(r.Warnings) != 1 {
				t.Errorf("a replica is frozen: %v, %v, %+v", d, r.Err, r.Warnings)
			}
		}
		if n[4].questions() != 2 {
			t.Errorf("the frozen replica was asked %d times: questions pile up", n[4].questions())
		}
		close(n[4].stuck)
		synctest.Wait()
		n[4].stuck = nil
		n[1].stuck = make(chan struct{})
		if d, r := took(); d != 2*time.Second || r.Reason != ReasonSlotsUncovered || r.Nodes[1].Reason != ReasonNoAnswer {
			t.Errorf("a primary is frozen: %v, %v", d, r.Err)
		}
		close(n[1].stuck)
	})
}

// The client's own trouble comes before any node's.
func TestClusterNotConnected(t *testing.T) {
	t.Parallel()
	s := &fakeSource{is: conn.ModeCluster, err: refused("10.0.0.1:6379")}
	if r := testChecker(t, s, Options{}).Check(t.Context()); r.Reason != ReasonRefused || r.Cluster != nil {
		t.Errorf("%+v", r)
	}
}
