// Bench compares this project with its peers on one real Redis, in one run.
//
//	go run ./internal/bench [-run regexp] [-quick] [-rounds n] [-duration d] [-json file]
//
// It uses the server at $REDIS_URL, or starts one and removes it afterwards.
// The figures of two runs, or of two machines, do not compare: only the ratios
// within one run do. How they are made is told at [Comparison]. For every
// comparison one line is printed:
//
//	conn/get/p8 ours=118k/s peer=119k/s ratio=0.991 goal=0.97 spread=0.97..1.01 allocs=1.00/1.00 bytes=32/32 cpu=7.0µs/6.9µs=1.01 (A/A 1.002 0.98..1.02) peer: rueidis ok
//
// ratio is our throughput divided by the peer's (above 1: we are faster), the
// median over the rounds; spread is the middle half of the rounds' ratios; and
// A/A is the same for two clients of ours, which shows the noise. allocs, bytes
// and cpu (the processor time of this process) are per call, ours/peer's, as are
// p50 and p99 where they are printed; the last figure of cpu is the median of the
// rounds' ratios, and below 1 we use less. It is the steadiest on a busy machine.
// A goal that was missed (MISS) does not make the run fail; an error does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/relay-platform/redis/internal/redistest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	err = errors.Join(err, redistest.Shutdown())
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	only     *regexp.Regexp
	quick    bool
	list     bool
	rounds   int
	duration time.Duration
	json     string
	profile  string
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(out)
	only := fs.String("run", "", "compare only what matches this regexp, such as conn/get/p8$")
	fs.BoolVar(&o.quick, "quick", false, "3 short rounds: shows that everything works, not how fast")
	fs.BoolVar(&o.list, "list", false, "print the names and compare nothing")
	fs.IntVar(&o.rounds, "rounds", 30, "rounds of a comparison; at least 10 to conclude anything")
	fs.DurationVar(&o.duration, "duration", 60*time.Millisecond, "length of a slice; a round has three")
	fs.StringVar(&o.json, "json", "", "write all figures to this file as JSON")
	fs.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of our slices alone to this file")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.duration = 3, 20*time.Millisecond
	}
	if o.rounds < 1 || o.duration <= 0 {
		return o, errors.New("-rounds and -duration must be positive")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	opts, err := parse(args, out)
	if err != nil {
		return err
	}
	rows := selectRows(allRows(), opts.only)
	if len(rows) == 0 {
		return fmt.Errorf("-run %s matches no comparison; -list prints their names", opts.only)
	}
	if opts.list {
		for _, r := range rows {
			fmt.Fprintln(out, r.id())
		}
		return nil
	}
	env, err := newEnvironment(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.close()) }()
	fmt.Fprintln(out, env.report)
	if opts.profile != "" {
		stop, err := profile(env, opts.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	return measureAll(ctx, env, rows, opts, out)
}

// measureAll prints each result as soon as it is there, and all of them again,
// without the reports in between, at the end.
func measureAll(ctx context.Context, env *environment, rows []row, opts options, out io.Writer) error {
	var results []Result
	var failed []error
	for i, r := range rows {
		res, err := r.measure(ctx, env)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.id(), err))
			fmt.Fprintf(os.Stderr, "[%d/%d] %s: %v\n", i+1, len(rows), r.id(), err)
			continue
		}
		results = append(results, res)
		fmt.Fprintf(os.Stderr, "[%d/%d] %s\n", i+1, len(rows), res)
	}
	for _, res := range results {
		fmt.Fprintln(out, res)
	}
	if opts.json != "" {
		failed = append(failed, writeJSON(opts.json, env.report, results))
	}
	return errors.Join(failed...)
}

// profile has our slices, and nothing else, run under the CPU profiler.
func profile(env *environment, name string) (stop func(), err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	// The profiler cannot be paused, so what a sample belongs to is told by its
	// label: go tool pprof -tagfocus=side=ours.
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	env.labels = true
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}
