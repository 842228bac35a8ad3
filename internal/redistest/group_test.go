package redistest

import (
	"testing"
	"time"
)

func TestCluster(t *testing.T) {
	began := time.Now()
	g := Cluster(t, Options{})
	t.Logf("up in %v", time.Since(began))
	began = time.Now()
	next, err := g.Crash(t.Context(), g.Servers[0])
	must(t, err)
	t.Logf("crash failover to %s in %v", next.Name(), time.Since(began))
}

func TestSentinel(t *testing.T) {
	began := time.Now()
	g := Sentinel(t, Options{})
	t.Logf("up in %v", time.Since(began))
	began = time.Now()
	next, err := g.Crash(t.Context(), g.Servers[0])
	must(t, err)
	t.Logf("crash failover to %s in %v", next.Name(), time.Since(began))
}
