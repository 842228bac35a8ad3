package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"github.com/relay-platform/redis/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const (
	number = `[0-9]+(\.[0-9]+)?`
	rate   = number + `k?/s`
	pairOf = number + "/" + number
	ranged = number + `\.\.` + number
	took   = number + `(ns|µs|ms|s)`
)

var (
	rateLine = regexp.MustCompile(`^(\S+/p[0-9]+) ours=` + rate + ` peer=` + rate + ` ratio=` + number + ` goal=(none|` + number + `) spread=` + ranged +
		` allocs=` + pairOf + ` bytes=` + pairOf + ` cpu=` + took + `/` + took + `=` + number + `( p50=` + took + `/` + took + ` p99=` + took + `/` + took + `)? \(A/A ` + number + ` ` + ranged + `\) peer: .+ (ok|-|MISS\([a-z,]+\))$`)
	memoryLine = regexp.MustCompile(`^(\S+) ours=` + number + `MiB peer=` + number + `MiB ratio=` + number + ` goal=at most ` + number + `MiB peer: .+ (ok|MISS\(memory\))$`)
)

// Figures are not looked at here: a test run on a busy machine has none.
func TestQuickRun(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	t.Setenv("REDIS_URL", server.URL())
	file := filepath.Join(t.TempDir(), "bench.json")
	// One row of each kind, and each peer.
	pattern := `^conn/(get/p8|multi10/alike/p1|script/p64|get-(timeout|cancel)/p8|set/go-redis(-auto)?/p8|idle)$`
	want := map[string]bool{
		"conn/get/p8": true, "conn/multi10/alike/p1": true, "conn/script/p64": true, "conn/get-timeout/p8": true, "conn/get-cancel/p8": true,
		"conn/set/go-redis/p8": true, "conn/set/go-redis-auto/p8": true, "conn/idle": true,
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-json", file, "-run", pattern}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if !strings.HasPrefix(lines[0], "bench: ") {
		t.Errorf("the first line does not say what was measured on: %s", lines[0])
	}
	for _, line := range lines[1:] {
		match := rateLine.FindStringSubmatch(line)
		if match == nil {
			match = memoryLine.FindStringSubmatch(line)
		}
		if match == nil {
			t.Errorf("not a line as the package comment shows it: %s", line)
			continue
		}
		if !want[match[1]] {
			t.Errorf("an unexpected or repeated line: %s", line)
		}
		delete(want, match[1])
	}
	if len(want) > 0 {
		t.Errorf("no line for %v in\n%s", want, &out)
	}
	checkJSON(t, file, len(lines)-1)

	size, err := server.Do(t.Context(), "DBSIZE")
	if err != nil || size != int64(0) {
		t.Errorf("the run left %v keys (%v)", size, err)
	}
}

func checkJSON(t *testing.T, file string, results int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Report  report
		Results []Result
	}
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.Results) != results || kept.Report.Server == "" {
		t.Errorf("the file has %d results and server %q, want %d and its version", len(kept.Results), kept.Report.Server, results)
	}
	for _, r := range kept.Results {
		if r.Unit == unitRate && len(r.Rounds) != 3 {
			t.Errorf("%s: %d rounds were kept, want 3", r.Name, len(r.Rounds))
		}
	}
}

// A side that fails fails the run, after the other rows, and leaves nothing.
func TestFailingSideFailsTheRun(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	t.Setenv("REDIS_URL", server.URL())
	opts, err := parse([]string{"-quick"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	env, err := newEnvironment(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer env.close() //nolint:errcheck // the server is the test's
	broken := errors.New("broken")
	var opened, closed atomic.Int64
	fail := func(b *B) (Op, error) {
		opened.Add(1)
		b.Cleanup(func() error { closed.Add(1); return nil })
		c, err := rueidisPeer(rueidisDefault).open(b)
		if err != nil {
			return nil, err
		}
		return func(w *Worker) error {
			if w.N == 5 {
				return broken
			}
			return set(context.Background(), c, w)
		}, nil
	}
	good := callRueidis(set, background)(func(*rueidis.ClientOption) {})
	rows := append(expand(Comparison{Name: "bad", Parallel: []int{2}, Ours: good, Peer: fail}),
		expand(Comparison{Name: "good", Parallel: []int{2}, Ours: good, Peer: good})...)
	var out bytes.Buffer
	err = measureAll(t.Context(), env, rows, opts, &out)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "bad/p2") || !strings.Contains(err.Error(), "peer") {
		t.Errorf("the error is %v, want one that names row and side", err)
	}
	if !strings.HasPrefix(out.String(), "good/p2 ") || strings.Contains(out.String(), "bad/p2") {
		t.Errorf("printed %q, want the row that worked", &out)
	}
	if opened.Load() == 0 || opened.Load() != closed.Load() {
		t.Errorf("%d sides were opened and %d closed", opened.Load(), closed.Load())
	}
	if size, err := server.Do(t.Context(), "DBSIZE"); err != nil || size != int64(0) {
		t.Errorf("the run left %v keys (%v)", size, err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.id()] {
			t.Errorf("two rows are called %s", r.id())
		}
		seen[r.id()] = true
	}
}
