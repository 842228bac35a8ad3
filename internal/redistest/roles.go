package redistest

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Primary returns the server that owns a key now; the key matters in a cluster
// only. During a failover it may be the old one or an error.
func (g *Group) Primary(ctx context.Context, key string) (*Server, error) {
	switch g.topology {
	case TopologySentinel:
		return g.sentinelPrimary(ctx)
	case TopologyCluster:
		return g.SlotOwner(ctx, Slot(key))
	default:
		return g.Servers[0], nil
	}
}

// Replicas returns the servers that replicate a primary now, and are up.
func (g *Group) Replicas(ctx context.Context, primary *Server) ([]*Server, error) {
	var mu sync.Mutex
	var replicas []*Server
	err := each(live(g.Servers), func(s *Server) error {
		info, err := s.Info(ctx, "replication")
		if err == nil && info["role"] == "slave" && info["master_host"]+":"+info["master_port"] == primary.Addr() {
			mu.Lock()
			defer mu.Unlock()
			replicas = append(replicas, s)
		}
		return err
	})
	return replicas, err
}

// Failover hands a primary's part to one of its replicas in an orderly way
// (CLUSTER FAILOVER, SENTINEL FAILOVER) and returns the new primary once the
// group has converged.
func (g *Group) Failover(ctx context.Context, primary *Server) (*Server, error) {
	switch g.topology {
	case TopologySentinel:
		return g.sentinelFailover(ctx, primary)
	case TopologyCluster:
		return g.clusterFailover(ctx, primary)
	default:
		return nil, errors.New("redistest: a standalone server has no replica to fail over to")
	}
}

// Crash kills a primary, as Kill does, and returns the replica that the others
// have put in its place as soon as they have: writes whose replication the crash
// cut off are lost. Restart the old one to have it back as a replica.
func (g *Group) Crash(ctx context.Context, primary *Server) (*Server, error) {
	successor, err := g.successor(ctx, primary)
	if err != nil {
		return nil, err
	}
	if err := primary.Kill(ctx); err != nil {
		return nil, err
	}
	return successor(ctx)
}

// successor notes what a primary owns, and returns what waits until another
// server owns it.
func (g *Group) successor(ctx context.Context, primary *Server) (func(context.Context) (*Server, error), error) {
	var owner func(context.Context) (*Server, error)
	switch g.topology {
	case TopologySentinel:
		owner = g.sentinelPrimary
	case TopologyCluster:
		slots, err := g.slots(ctx, primary)
		if err != nil {
			return nil, err
		}
		if len(slots) == 0 {
			return nil, fmt.Errorf("redistest: %s owns no slot, so nobody can take over", primary.name)
		}
		owner = func(ctx context.Context) (*Server, error) { return g.SlotOwner(ctx, slots[0]) }
	default:
		return nil, errors.New("redistest: a standalone server has no replica to fail over to")
	}
	return func(ctx context.Context) (next *Server, err error) {
		ctx, cancel := context.WithTimeout(ctx, convergeTimeout)
		defer cancel()
		err = poll(ctx, func() (bool, error) {
			var ownErr error
			next, ownErr = owner(ctx)
			return ownErr == nil && next != primary, nil
		}, func() string { return "another server takes the place of " + primary.name })
		return next, err
	}, nil
}
