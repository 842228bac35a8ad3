package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A round is what the three slices of a round gave.
type round struct {
	Ours  sample `json:"ours"`
	Peer  sample `json:"peer"`
	Again sample `json:"again"` // ours, with a second client
}

// ratio is our throughput divided by the peer's; ours is the mean of two.
func (r round) ratio() float64 {
	return math.Sqrt(r.Ours.Throughput*r.Again.Throughput) / r.Peer.Throughput
}

// control is the ratio of two equal things.
func (r round) control() float64 { return r.Ours.Throughput / r.Again.Throughput }

// cpuRatio is our processor time per call divided by the peer's: below 1 we use
// less. Other processes disturb it less than the throughput.
func (r round) cpuRatio() float64 { return math.Sqrt(r.Ours.CPU*r.Again.CPU) / r.Peer.CPU }

func (a at) measure(ctx context.Context, env *environment) (res Result, err error) {
	defer func() { err = errors.Join(err, env.removeKeys(ctx)) }()
	setups := [...]struct {
		name  string
		setup Setup
	}{{"ours", a.Ours}, {"peer", a.Peer}, {"again", a.Ours}}
	var sides [len(setups)]*side
	for i, s := range setups {
		if sides[i], err = open(env, s.name, s.setup); err != nil {
			return res, err
		}
		defer func() { err = errors.Join(err, sides[i].b.close()) }()
	}
	var latency [len(setups)]*hdrhistogram.Histogram
	sl := slicer{goroutines: a.goroutines, duration: env.duration / 2, labels: env.labels}
	for _, s := range sides { // fills pools, loads scripts, grows stacks
		if _, err := sl.run(s, nil); err != nil {
			return res, err
		}
	}
	sl.duration = env.duration
	if a.Latency {
		for i := range latency {
			latency[i] = newHistogram()
		}
	}
	var rounds []round
	for range env.rounds {
		var r round
		samples := [...]*sample{&r.Ours, &r.Peer, &r.Again}
		for _, i := range rand.Perm(len(sides)) {
			if *samples[i], err = sl.run(sides[i], latency[i]); err != nil {
				return res, err
			}
			if ctx.Err() != nil {
				return res, ctx.Err()
			}
		}
		rounds = append(rounds, r)
	}
	res = summarize(a.Comparison, rounds)
	res.Name = a.id()
	if a.Latency {
		latency[0].Merge(latency[2])
		res.P50 = &pair{float64(latency[0].ValueAtQuantile(50)), float64(latency[1].ValueAtQuantile(50))}
		res.P99 = &pair{float64(latency[0].ValueAtQuantile(99)), float64(latency[1].ValueAtQuantile(99))}
	}
	return res, nil
}
