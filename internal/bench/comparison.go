package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// A Comparison is one operation done by us and by a peer, at one or more
// parallelisms.
//
// Each round consists of three slices, in random order: ours, the peer's, and
// ours again with a second client. A slice is a fixed number of goroutines that
// call as fast as they can for a short while. As the slices of a round lie next
// to each other, what slows the machine for longer than that slows both sides;
// what is left is seen in the A/A ratio.
type Comparison struct {
	Name string // "conn/get"; the parallelism is appended: "conn/get/p8"
	// PeerName says who the peer is, and how configured.
	PeerName string
	// Parallel are the numbers of goroutines. Nil means 1, 8 and 64.
	Parallel []int
	// Goal is the least ratio of throughputs, ours to the peer's, that is good
	// enough. Zero means that the ratio is only reported.
	Goal float64
	// SameAllocs makes it part of the goal that we allocate no more often per
	// call than the peer.
	SameAllocs bool
	// Latency also reports p50 and p99 of every eighth call. They are those of
	// a closed loop: a stall is seen once by each goroutine, not by all the
	// calls that would have come meanwhile.
	Latency bool

	Ours, Peer Setup
}

// Setup prepares one side, with its own connections, and returns the operation
// to be measured. What it opened it hands to [B.Cleanup].
type Setup func(b *B) (Op, error)

// Op is one call. It is made by many goroutines at the same time.
type Op func(w *Worker) error

// A Footprint is the memory of an idle client.
type Footprint struct {
	Name     string
	PeerName string
	// Goal is the most bytes of heap that one client of ours may hold.
	Goal       float64
	Ours, Peer Open
}

// Open makes one client, and leaves closing it to [B.Cleanup].
type Open func(b *B) error

// A row is one line of the report.
type row interface {
	id() string
	measure(ctx context.Context, env *environment) (Result, error)
}

// allRows is the table of everything that there is to compare: a file for each
// module, named after it.
func allRows() []row {
	return slices.Concat(connRows())
}

func selectRows(rows []row, only *regexp.Regexp) []row {
	return slices.DeleteFunc(rows, func(r row) bool { return !only.MatchString(r.id()) })
}

// at is a Comparison at one parallelism.
type at struct {
	Comparison
	goroutines int
}

func (a at) id() string { return a.Name + "/p" + strconv.Itoa(a.goroutines) }

// expand makes the rows of comparisons.
func expand(comparisons ...Comparison) []row {
	var rows []row
	for _, c := range comparisons {
		parallel := c.Parallel
		if parallel == nil {
			parallel = []int{1, 8, 64}
		}
		for _, n := range parallel {
			rows = append(rows, at{c, n})
		}
	}
	return rows
}

// B is what a [Setup] works with.
type B struct {
	// URL is the server's.
	URL string
	// Prefix is what the keys of this side begin with. They are deleted in the
	// end.
	Prefix string
	// Keys are keyCount keys to work on, of which none exists yet.
	Keys []string

	cleanups []func() error
}

const keyCount = 1024

func newB(env *environment, side string) *B {
	b := &B{URL: env.url, Prefix: env.prefix + side + ":"}
	for i := range keyCount {
		b.Keys = append(b.Keys, b.Prefix+strconv.Itoa(i))
	}
	return b
}

// Cleanup has f called when the side is done with, the last one first.
func (b *B) Cleanup(f func() error) { b.cleanups = append(b.cleanups, f) }

func (b *B) close() error {
	var errs []error
	for _, f := range slices.Backward(b.cleanups) {
		errs = append(errs, f())
	}
	b.cleanups = nil
	return errors.Join(errs...)
}

// A Worker is one goroutine of a slice.
type Worker struct {
	ID int // from 0
	N  int // how many calls it has made before this one, in this slice

	b *B
}

// Key returns the key for this call: each worker goes through all of them, from
// a place of its own.
func (w *Worker) Key() string { return w.b.Keys[(w.ID*97+w.N)%len(w.b.Keys)] }

// side is a client under test.
type side struct {
	name string
	b    *B
	op   Op
}

func open(env *environment, name string, setup Setup) (*side, error) {
	s := &side{name: name, b: newB(env, name)}
	op, err := setup(s.b)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.b.close())
	}
	s.op = op
	return s, nil
}
