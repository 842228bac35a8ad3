// Testreport reads the output of go test -json on standard input and prints
// what a person wants to see of it: the runner's own line for each package, all
// that a failed test printed, each test that was skipped and why, and a count at
// the end. With -logs also what tests that passed logged (t.Log): the figures that
// they measured.
//
// It exits with 1 where a test or a build failed, where the input ends early,
// and where no test ran at all: a pattern that matches nothing proves nothing.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build event
	Test       string
	Output     string
}

// report is what has been seen so far.
type report struct {
	out  io.Writer
	logs bool
	// output holds what each unfinished test printed; a test's key is its
	// package and name, a package's own has no name.
	output  map[[2]string][]string
	failed  []string
	skipped []string
	passed  int
	// open counts packages that started and have not ended.
	open   int
	broken bool
}

var (
	// logged is a line of t.Log, without the place that it came from; its further
	// lines are indented.
	logged = regexp.MustCompile(`^ +\w+\.go:\d+: (.*)\n?$`)
	// noise is what go test -v prints about the progress of a test, not the test.
	noise = regexp.MustCompile(`^\s*(=== (RUN|PAUSE|CONT|NAME)\b|--- (PASS|FAIL|SKIP): |PASS\n$)`)
)

func main() {
	logs := flag.Bool("logs", false, "print what tests that passed logged")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, *logs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run reports whether all is well.
func run(in io.Reader, out io.Writer, logs bool) (bool, error) {
	r := report{out: out, logs: logs, output: make(map[[2]string][]string)}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				// Not the runner's: say, what go itself prints before it starts.
				fmt.Fprintf(out, "%s", line)
			}
		}
		if err == io.EOF {
			return r.finish(), nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (r *report) add(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "start":
		r.open++
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.broken = true
	case "output":
		switch {
		case e.Test != "":
			r.output[key] = append(r.output[key], e.Output)
		case !noise.MatchString(e.Output):
			// The runner's own: "ok …", "FAIL …", a panic outside of a test.
			fmt.Fprint(r.out, e.Output)
		}
	case "pass", "fail", "skip":
		r.end(e, key)
	}
}

// end prints what a test that is over leaves to say.
func (r *report) end(e event, key [2]string) {
	lines := r.output[key]
	delete(r.output, key)
	if e.Test == "" {
		r.open--
		if e.Action == "fail" {
			r.broken = true
		}
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
		for _, line := range lines {
			if m := logged.FindStringSubmatch(line); m != nil && r.logs {
				fmt.Fprintf(r.out, "  %s: %s\n", e.Test, m[1])
			}
		}
	case "fail":
		r.failed = append(r.failed, e.Test)
		fmt.Fprintf(r.out, "--- FAIL: %s (%s)\n", e.Test, e.Package)
		r.print(lines)
	case "skip":
		r.skipped = append(r.skipped, e.Test)
		fmt.Fprintf(r.out, "--- SKIP: %s\n", e.Test)
		r.print(lines)
	}
}

func (r *report) print(lines []string) {
	for _, line := range lines {
		if !noise.MatchString(line) {
			fmt.Fprint(r.out, line)
		}
	}
}

func (r *report) finish() bool {
	// Tests that never ended: the process died, or ran out of time.
	for key, lines := range r.output {
		r.failed = append(r.failed, key[1])
		fmt.Fprintf(r.out, "--- did not end: %s (%s)\n", key[1], key[0])
		r.print(lines)
	}
	fmt.Fprintf(r.out, "%d tests passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	for _, name := range r.failed {
		fmt.Fprintf(r.out, "  failed: %s\n", name)
	}
	if r.passed+len(r.failed) == 0 {
		fmt.Fprintln(r.out, "no test ran: nothing was proven")
		return false
	}
	return len(r.failed) == 0 && !r.broken && r.open == 0
}
