package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A sample is what one slice gave.
type sample struct {
	Throughput float64 `json:"throughput"` // calls a second
	Allocs     float64 `json:"allocs"`     // per call
	Bytes      float64 `json:"bytes"`      // allocated, per call
	CPU        float64 `json:"cpu_ns"`     // nanoseconds of this process, per call
}

// latencyEvery is which share of the calls is timed: looking at the clock twice
// costs as much as some of what is compared.
const latencyEvery = 8

// slicer makes slices of a number of goroutines.
type slicer struct {
	goroutines int
	duration   time.Duration
	labels     bool // mark the goroutines for the CPU profile
}

// run makes one slice. Latencies go into h unless it is nil.
//
// The allocations are the whole process's: only this side is at work, and what
// idle clients do once a second disappears among the calls.
func (sl slicer) run(s *side, h *hdrhistogram.Histogram) (sample, error) {
	var (
		stop          atomic.Bool
		ready, done   sync.WaitGroup
		start         = make(chan struct{})
		workers       = make([]workerState, sl.goroutines)
		before, after runtime.MemStats
	)
	for i := range workers {
		w := &workers[i]
		w.Worker = Worker{ID: i, b: s.b}
		if h != nil {
			w.latency = newHistogram()
		}
		ready.Add(1)
		done.Add(1)
		go sl.label(s.name, func() {
			defer done.Done()
			ready.Done()
			<-start
			w.loop(s.op, &stop)
		})
	}
	ready.Wait()
	runtime.GC() // what the slice before left is not this one's
	runtime.ReadMemStats(&before)
	cpu, err := cpuTime()
	if err != nil {
		return sample{}, err
	}

	begin := time.Now()
	timer := time.AfterFunc(sl.duration, func() { stop.Store(true) })
	close(start)
	done.Wait()
	elapsed := time.Since(begin)
	timer.Stop()
	if cpu, err = cpuSince(cpu); err != nil {
		return sample{}, err
	}
	runtime.ReadMemStats(&after)

	calls := 0
	for i := range workers {
		w := &workers[i]
		if w.err != nil {
			return sample{}, fmt.Errorf("%s, call %d of goroutine %d: %w", s.name, w.N, i, w.err)
		}
		calls += w.N
		if h != nil {
			h.Merge(w.latency)
		}
	}
	return sample{
		Throughput: float64(calls) / elapsed.Seconds(),
		Allocs:     float64(after.Mallocs-before.Mallocs) / float64(calls),
		Bytes:      float64(after.TotalAlloc-before.TotalAlloc) / float64(calls),
		CPU:        float64(cpu) / float64(calls),
	}, nil
}

// cpuTime returns the processor time that this process has used, also in the
// kernel. The server's is not in it.
func cpuTime() (time.Duration, error) {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()), nil
}

func cpuSince(begin time.Duration) (time.Duration, error) {
	now, err := cpuTime()
	return now - begin, err
}

func (sl slicer) label(side string, f func()) {
	if !sl.labels {
		f()
		return
	}
	pprof.Do(context.Background(), pprof.Labels("side", side), func(context.Context) { f() })
}

// workerState is a Worker with what is counted.
type workerState struct {
	Worker
	latency *hdrhistogram.Histogram
	err     error
	_       [64]byte // neighbours do not share a cache line
}

// loop makes at least one call.
func (w *workerState) loop(op Op, stop *atomic.Bool) {
	for {
		timed := w.latency != nil && w.N%latencyEvery == 0
		var begin time.Time
		if timed {
			begin = time.Now()
		}
		if w.err = op(&w.Worker); w.err != nil {
			stop.Store(true)
			return
		}
		if timed {
			// The only error is for a value out of range, over a minute.
			_ = w.latency.RecordValue(int64(time.Since(begin)))
		}
		w.N++
		if stop.Load() {
			return
		}
	}
}

// newHistogram holds nanoseconds up to a minute, to two digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 2)
}
