package health

import (
	"fmt"
	"sync"
	"time"

	"github.com/relay-platform/redis/conn"
)

// Defaults of the fields of [Options] and [WatchOptions].
const (
	DefaultTimeout   = 2 * time.Second
	DefaultSlowAfter = 500 * time.Millisecond
	DefaultMaxAge    = time.Second
	DefaultInterval  = 10 * time.Second
)

// saveInterval is the pause between two CONFIG GET save to one server.
const saveInterval = time.Minute

// Options of a [Checker]. The zero value is useful.
type Options struct {
	// Timeout bounds one check, beside the context of the call. Keep it below
	// the time-out of whoever probes ReadinessHandler, or they see a time-out
	// of theirs instead of the reason. Zero means DefaultTimeout (2 s).
	Timeout time.Duration

	// SlowAfter is the response time above which a result is marked Slow, with a
	// warning. Slow is healthy all the same. Zero means DefaultSlowAfter
	// (500 ms); it has no effect where it is not below Timeout.
	SlowAfter time.Duration

	// MaxAge is how old a result ReadinessHandler may answer with, counted from
	// the end of its check. Zero means DefaultMaxAge (1 s); negative means that
	// only checks that are still under way are shared.
	MaxAge time.Duration

	// Ready decides whether ReadinessHandler answers 200. It must be fast and
	// safe for concurrent use; if it panics the answer is 503. Nil means
	// Result.Healthy. A service that can do without writes may say
	//
	//	func(r health.Result) bool { return r.Status != health.StatusDown }
	Ready func(Result) bool

	// Terse leaves everything but ready, healthy, status, reason and checked_at
	// out of ReadinessHandler's answers, for a port that strangers can reach:
	// addresses and versions are no secrets, but are nobody's business.
	Terse bool

	// WriteProbe has each check ask every primary whether it would take a write,
	// with an empty script that writes nothing (EVAL, no keys). It finds every
	// refusal of writes, also those that INFO does not show: see the package
	// comment. It needs the permission +eval and Redis 7.0; where it is refused,
	// INFO decides.
	WriteProbe bool
}

// Checker checks the health of the Redis behind one conn.Client. It is safe for
// concurrent use, holds no connection of its own, and has nothing to close; see
// Watch for what runs in the background.
type Checker struct {
	opts Options
	src  source

	asks    flights[answer]
	maps    flights[mapAnswer]
	probes  flights[Result] // ReadinessHandler's checks
	mu      sync.Mutex
	last    Result
	lastEnd time.Time             // when last was known; zero: never
	saves   map[string]saveAnswer // by address
}

// mapAnswer is what CLUSTER NODES gave.
type mapAnswer struct {
	nodes []mapNode
	err   error
}

// saveAnswer is what CONFIG GET save gave.
type saveAnswer struct {
	points  string
	known   bool
	refused bool
	asked   time.Time
}

// New returns a Checker for c. It sends nothing; the first check of a lazy
// Client connects it. An Options that cannot be used is a *conn.ArgumentError.
func New(c *conn.Client, opts Options) (*Checker, error) {
	if c == nil {
		return nil, &conn.ArgumentError{Name: "c", Problem: "is nil: give the conn.Client whose Redis to check"}
	}
	return newChecker(clientSource{c}, opts)
}

func newChecker(src source, opts Options) (*Checker, error) {
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"Timeout", &opts.Timeout, DefaultTimeout},
		{"SlowAfter", &opts.SlowAfter, DefaultSlowAfter},
	} {
		switch {
		case *d.v == 0:
			*d.v = d.def
		case *d.v < time.Millisecond:
			return nil, optionError("Options."+d.name, "%v is less than a millisecond; zero means %v", *d.v, d.def)
		}
	}
	if opts.MaxAge == 0 {
		opts.MaxAge = DefaultMaxAge
	}
	return &Checker{opts: opts, src: src, saves: map[string]saveAnswer{}}, nil
}

// optionError names the field at fault and matches conn.ErrInvalidArgument.
func optionError(name, format string, args ...any) error {
	return &conn.ArgumentError{Name: name, Problem: fmt.Sprintf(format, args...)}
}

// Last returns the result of the check that ended last, whoever asked for it,
// and when it ended; false before the first. Checks that their callers gave up
// do not count.
func (k *Checker) Last() (r Result, ended time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.lastEnd, !k.lastEnd.IsZero()
}

func (k *Checker) keep(r Result) {
	if r.Status == StatusUnknown {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// Of two that overlap, the one that began later knows more.
	if r.CheckedAt.Before(k.last.CheckedAt) {
		return
	}
	k.last, k.lastEnd = r, time.Now()
}
