package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// footprintClients is how many clients the memory of one is the mean of.
const footprintClients = 20

func (f Footprint) id() string { return f.Name }

func (f Footprint) measure(_ context.Context, env *environment) (Result, error) {
	ours, err := heapPerClient(env, f.Ours)
	if err != nil {
		return Result{}, fmt.Errorf("ours: %w", err)
	}
	peer, err := heapPerClient(env, f.Peer)
	if err != nil {
		return Result{}, fmt.Errorf("peer: %w", err)
	}
	return Result{
		Name: f.Name, Unit: unitBytes, PeerName: f.PeerName, Ours: ours, Peer: peer,
		Ratio: ours / peer, Goal: f.Goal, Missed: missed(map[string]bool{"memory": ours > f.Goal}),
	}, nil
}

// heapPerClient is what stays reachable for each open client that does nothing.
// Stacks are not in it.
func heapPerClient(env *environment, open Open) (bytes float64, err error) {
	b := newB(env, "footprint")
	defer func() { err = errors.Join(err, b.close()) }()
	if err := open(b); err != nil { // what the first one makes for all
		return 0, err
	}
	before := heap()
	for range footprintClients {
		if err := open(b); err != nil {
			return 0, err
		}
	}
	return (float64(heap()) - float64(before)) / footprintClients, nil
}

// heap returns the bytes that survive a collection: the second one empties the
// pools that the first one only ages.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
