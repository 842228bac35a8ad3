package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/health"
	"github.com/relay-platform/redis/internal/redistest"
)

// What the package comment says that a user needs, and what conn itself needs
// to connect and to probe.
const (
	healthACL        = "+ping +hello +info +config|get"
	healthClusterACL = healthACL + " +cluster|info +cluster|nodes"
	connACL          = "+ping +hello +client|setinfo"
	connSentinelACL  = connACL + " +role"
	connClusterACL   = connACL + " +cluster|slots +cluster|info +cluster|shards +info +exists"
)

// grant makes a user that may do what acl says and nothing else.
func grant(tb testing.TB, servers []*redistest.Server, user, acl string) {
	tb.Helper()
	for _, s := range servers {
		_, err := s.Do(tb.Context(), "ACL", "SETUSER", user, "on", ">pw", "resetkeys", "resetchannels", "-@all")
		must(tb, err)
		for rule := range strings.FieldsSeq(acl) {
			_, err := s.Do(tb.Context(), "ACL", "SETUSER", user, rule)
			if rule == "+client|setinfo" && err != nil && strings.Contains(err.Error(), "Unknown") {
				continue // 7.0 does not have it
			}
			must(tb, err)
		}
	}
}

// denials returns how often each command was refused for lack of permission.
func denials(tb testing.TB, servers []*redistest.Server) map[string]int {
	tb.Helper()
	out := map[string]int{}
	for _, s := range servers {
		entries, err := s.Do(tb.Context(), "ACL", "LOG", "100")
		must(tb, err)
		list, _ := entries.([]any)
		for _, e := range list {
			// The same refusal again raises the count of its entry.
			text := fmt.Sprint(e)
			_, object, _ := strings.Cut(text, "object ")
			object, _, _ = strings.Cut(object, " ")
			var count int
			_, number, _ := strings.Cut(text, "count ")
			if _, err := fmt.Sscan(number, &count); err != nil {
				tb.Fatalf("ACL LOG gave %s", text)
			}
			out[object] += count
		}
	}
	return out
}

// The documented permissions are enough, with nothing refused, and every field
// is there.
func TestAnyHealthLeastPermissions(t *testing.T) {
	t.Parallel()
	g := redistest.Default(t, redistest.Options{})
	filled(t, g)
	acl := map[redistest.Topology]string{
		redistest.TopologyStandalone: connACL + " " + healthACL,
		redistest.TopologySentinel:   connSentinelACL + " " + healthACL,
		redistest.TopologyCluster:    connClusterACL + " " + healthClusterACL,
	}[g.Topology()]
	grant(t, g.Servers, "health", acl)
	grant(t, g.Servers, "probe", acl+" +eval")
	for _, user := range []string{"health", "probe"} {
		k, _ := newChecker(t, conn.Config{URL: g.URL(), Username: user, Password: "pw"}, health.Options{WriteProbe: user == "probe"})
		for range 3 {
			r := check(t, k, health.DefaultTimeout)
			if !r.Healthy || r.Server.Info == nil || warned(r, health.WarnInfoForbidden) || r.Server.Info.Persistence != health.PersistenceOff {
				t.Fatalf("as %s: %s, %+v", user, describe(r), r.Server)
			}
			if g.Topology() == redistest.TopologyCluster && reached(r) != 6 {
				t.Errorf("as %s: %+v", user, r.Cluster)
			}
			for _, n := range r.Nodes {
				if n.Server == nil || n.Server.Info == nil {
					t.Errorf("as %s: nothing is known of %s: %v", user, n.Addr, n.Err)
				}
			}
		}
	}
	refused := denials(t, g.Servers)
	t.Logf("%s: refused: %v", acl, refused)
	delete(refused, "client|setinfo") // rueidis tries it on 7.0 too
	if len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

// Each documented permission is needed: without it something is missing.
func TestHealthMissingPermissions(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	for user, acl := range map[string]string{
		"info":   connACL + " +config|get",
		"config": connACL + " +info",
		"eval":   connACL + " " + healthACL,
		"ping":   "+hello +info +config|get",
	} {
		grant(t, []*redistest.Server{s}, user, acl)
	}
	as := func(user string, opts health.Options) (*health.Checker, health.Result) {
		k, _ := newChecker(t, conn.Config{Addrs: []string{s.Addr()}, Username: user, Password: "pw"}, opts)
		r := check(t, k, health.DefaultTimeout)
		t.Logf("without +%s: %s", user, describe(r))
		return k, r
	}
	// The server answers, so it is healthy; what INFO tells is absent.
	if _, r := as("info", health.Options{}); !r.Healthy || r.Server.Info != nil || !warned(r, health.WarnInfoForbidden) || r.Server.Version == "" || r.Server.Role != "primary" {
		t.Errorf("%s, %+v", describe(r), r.Server)
	}
	k, r := as("config", health.Options{})
	if !r.Healthy || r.Server.Info.Persistence != health.PersistenceUnknown || warned(r, health.WarnPersistenceOff) {
		t.Errorf("%s, %+v", describe(r), r.Server.Info)
	}
	for range 10 {
		check(t, k, health.DefaultTimeout)
	}
	if n := denials(t, []*redistest.Server{s})["config|get"]; n != 1 {
		t.Errorf("CONFIG GET was refused %d times: it is asked again", n)
	}
	// Without +eval INFO decides.
	if _, r := as("eval", health.Options{WriteProbe: true}); !r.Healthy {
		t.Errorf("%s", describe(r))
	}
	config(t, s, "min-replicas-to-write", "1")
	if _, r := as("eval", health.Options{WriteProbe: true}); r.Reason != health.ReasonNoReplicas {
		t.Errorf("%s", describe(r))
	}
	config(t, s, "min-replicas-to-write", "0")
	if _, r := as("ping", health.Options{}); !r.Healthy {
		t.Errorf("%s", describe(r))
	}
}
