package main

import (
	"math"
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.25, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{1, 2, 3, 4, 5}, 1, 5},
		{[]float64{10, 20}, 0.75, 17.5},
	} {
		before := slices.Clone(tc.values)
		if got := quantile(tc.values, tc.q); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("quantile(%v, %v) = %v, want %v", tc.values, tc.q, got, tc.want)
		}
		if !slices.Equal(before, tc.values) {
			t.Errorf("quantile changed its argument from %v to %v", before, tc.values)
		}
	}
}

// The machine halves its speed after the first round: the ratios do not notice,
// where the ratio of the medians over all slices would.
func TestSummarizeComparesWithinRounds(t *testing.T) {
	t.Parallel()
	at := func(speed float64) round {
		return round{
			Ours:  sample{Throughput: 90 * speed, Allocs: 2, Bytes: 64, CPU: 800 / speed},
			Peer:  sample{Throughput: 100 * speed, Allocs: 1, Bytes: 48, CPU: 1000 / speed},
			Again: sample{Throughput: 90 * speed, Allocs: 2, Bytes: 64, CPU: 800 / speed},
		}
	}
	res := summarize(Comparison{Goal: 0.97, SameAllocs: true}, []round{at(2), at(1), at(1), at(7)})
	for _, f := range []struct {
		name      string
		got, want float64
	}{
		{"ratio", res.Ratio, 0.9},
		{"low", res.Spread.Low, 0.9},
		{"high", res.Spread.High, 0.9},
		{"A/A", res.Control, 1},
		{"ours", res.Ours, 135},
		{"peer", res.Peer, 150},
		{"CPU", res.CPURatio, 0.8},
		{"our allocations", res.Allocs.Ours, 2},
		{"the peer's bytes", res.Bytes.Peer, 48},
	} {
		if math.Abs(f.got-f.want) > 1e-9 {
			t.Errorf("%s = %v, want %v", f.name, f.got, f.want)
		}
	}
	if want := []string{"allocs", "ratio"}; !slices.Equal(res.Missed, want) {
		t.Errorf("missed %v, want %v", res.Missed, want)
	}
}

func TestRatiosPointTheRightWay(t *testing.T) {
	t.Parallel()
	r := round{Ours: sample{Throughput: 300}, Peer: sample{Throughput: 100}, Again: sample{Throughput: 150}}
	if got := r.control(); got != 2 {
		t.Errorf("the A/A ratio is %v, want ours/again = 2", got)
	}
	if got, want := r.ratio(), math.Sqrt(300*150)/100; math.Abs(got-want) > 1e-9 {
		t.Errorf("the ratio is %v, want %v: above 1 where we are faster", got, want)
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	rounds := []round{{
		Ours:  sample{Throughput: 98, Allocs: 1.05},
		Peer:  sample{Throughput: 100, Allocs: 1},
		Again: sample{Throughput: 98, Allocs: 1.05},
	}}
	for _, tc := range []struct {
		name string
		c    Comparison
		want []string
	}{
		{"met", Comparison{Goal: 0.97, SameAllocs: true}, nil},
		{"missed", Comparison{Goal: 0.99, SameAllocs: true}, []string{"ratio"}},
		{"none", Comparison{}, nil},
	} {
		if got := summarize(tc.c, rounds).Missed; !slices.Equal(got, tc.want) {
			t.Errorf("%s: missed %v, want %v", tc.name, got, tc.want)
		}
	}
}
