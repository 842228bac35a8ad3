package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Units of Result.Ours and Result.Peer.
const (
	unitRate  = "calls/s"
	unitBytes = "bytes"
)

// Result is the outcome of one row.
type Result struct {
	Name     string  `json:"name"`
	PeerName string  `json:"peer_name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"` // the median of the rounds
	Peer     float64 `json:"peer"`
	// Ratio is ours divided by the peer's: the median of the rounds' ratios,
	// which is not the ratio of the medians.
	Ratio         float64  `json:"ratio"`
	Spread        spread   `json:"spread"`
	Control       float64  `json:"control"` // the same for ours and ours
	ControlSpread spread   `json:"control_spread"`
	Goal          float64  `json:"goal"` // of Ratio, or of Ours if the unit is bytes; 0: none
	Missed        []string `json:"missed,omitempty"`
	Allocs        *pair    `json:"allocs,omitempty"`
	Bytes         *pair    `json:"bytes,omitempty"`
	CPU           *pair    `json:"cpu_ns,omitempty"` // of this process, per call
	CPURatio      float64  `json:"cpu_ratio,omitempty"`
	P50           *pair    `json:"p50_ns,omitempty"`
	P99           *pair    `json:"p99_ns,omitempty"`
	Rounds        []round  `json:"rounds,omitempty"`
}

// String returns the line that the package comment shows.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ours=%s peer=%s ratio=%.3f goal=%s", r.Name, r.figure(r.Ours), r.figure(r.Peer), r.Ratio, r.goal())
	if r.Unit == unitRate {
		fmt.Fprintf(&b, " spread=%s", r.Spread)
	}
	if r.Allocs != nil {
		fmt.Fprintf(&b, " allocs=%.2f/%.2f bytes=%.0f/%.0f", r.Allocs.Ours, r.Allocs.Peer, r.Bytes.Ours, r.Bytes.Peer)
	}
	if r.CPU != nil {
		fmt.Fprintf(&b, " cpu=%.1fµs/%.1fµs=%.2f", r.CPU.Ours/1e3, r.CPU.Peer/1e3, r.CPURatio)
	}
	if r.P50 != nil {
		fmt.Fprintf(&b, " p50=%s p99=%s", r.P50.durations(), r.P99.durations())
	}
	if r.Unit == unitRate {
		fmt.Fprintf(&b, " (A/A %.3f %s)", r.Control, r.ControlSpread)
	}
	fmt.Fprintf(&b, " peer: %s ", r.PeerName)
	switch {
	case len(r.Missed) > 0:
		fmt.Fprintf(&b, "MISS(%s)", strings.Join(r.Missed, ","))
	case r.Goal == 0:
		b.WriteString("-")
	default:
		b.WriteString("ok")
	}
	return b.String()
}

func (r Result) figure(v float64) string {
	if r.Unit == unitBytes {
		return fmt.Sprintf("%.2fMiB", v/(1<<20))
	}
	if v < 10e3 {
		return fmt.Sprintf("%.0f/s", v)
	}
	return fmt.Sprintf("%.1fk/s", v/1e3)
}

func (r Result) goal() string {
	switch {
	case r.Goal == 0:
		return "none"
	case r.Unit == unitBytes:
		return "at most " + r.figure(r.Goal)
	}
	return fmt.Sprintf("%.2f", r.Goal)
}

func (s spread) String() string { return fmt.Sprintf("%.2f..%.2f", s.Low, s.High) }

func (p pair) durations() string {
	us := func(ns float64) string {
		return time.Duration(ns).Round(time.Microsecond).String()
	}
	return us(p.Ours) + "/" + us(p.Peer)
}

// report says what the figures were measured on.
type report struct {
	Time       time.Time `json:"time"`
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	GOMAXPROCS int       `json:"gomaxprocs"`
	Server     string    `json:"server"`
	Peers      []string  `json:"peers"`
	Rounds     int       `json:"rounds"`
	Slice      string    `json:"slice"`
}

func (r report) String() string {
	return fmt.Sprintf("bench: %s, %s, %d CPUs (server beside), %s; %d rounds of 3 slices of %s",
		r.Server, r.Go, r.CPUs, strings.Join(r.Peers, ", "), r.Rounds, r.Slice)
}

// writeJSON keeps everything that was measured.
func writeJSON(name string, r report, results []Result) error {
	data, err := json.MarshalIndent(struct {
		Report  report   `json:"report"`
		Results []Result `json:"results"`
	}{r, results}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o600)
}
