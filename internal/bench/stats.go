package main

import (
	"maps"
	"slices"
)

// quantile returns the value below which the share q of the values lies,
// interpolating between two; 0 for no values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// spread is the range of the middle half.
type spread struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.25), quantile(values, 0.75)}
}

// pair is a figure of both sides.
type pair struct {
	Ours float64 `json:"ours"`
	Peer float64 `json:"peer"`
}

// allocTolerance is how many allocations per call are put down to what runs
// beside the calls; one that is made in each call is ten times that.
const allocTolerance = 0.1

// summarize makes the result of the rounds. Name and latencies are left to the
// caller.
func summarize(c Comparison, rounds []round) Result {
	column := func(f func(round) float64) []float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = f(r)
		}
		return values
	}
	ratios, controls := column(round.ratio), column(round.control)
	res := Result{
		Unit: unitRate, PeerName: c.PeerName, Goal: c.Goal,
		Ours:  median(column(func(r round) float64 { return r.Ours.Throughput })),
		Peer:  median(column(func(r round) float64 { return r.Peer.Throughput })),
		Ratio: median(ratios), Spread: spreadOf(ratios),
		Control: median(controls), ControlSpread: spreadOf(controls),
		Allocs: &pair{
			median(column(func(r round) float64 { return r.Ours.Allocs })),
			median(column(func(r round) float64 { return r.Peer.Allocs })),
		},
		Bytes: &pair{
			median(column(func(r round) float64 { return r.Ours.Bytes })),
			median(column(func(r round) float64 { return r.Peer.Bytes })),
		},
		CPU: &pair{
			median(column(func(r round) float64 { return r.Ours.CPU })),
			median(column(func(r round) float64 { return r.Peer.CPU })),
		},
		CPURatio: median(column(round.cpuRatio)),
		Rounds:   rounds,
	}
	res.Missed = missed(map[string]bool{
		"ratio":  res.Ratio < c.Goal,
		"allocs": c.SameAllocs && res.Allocs.Ours > res.Allocs.Peer+allocTolerance,
	})
	return res
}

// missed returns the names of the goals that were missed, in order.
func missed(goals map[string]bool) []string {
	maps.DeleteFunc(goals, func(_ string, miss bool) bool { return !miss })
	return slices.Sorted(maps.Keys(goals))
}
