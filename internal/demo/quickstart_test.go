package main

import (
	"os"
	"strings"
	"testing"

	"github.com/relay-platform/redis/internal/redistest"
)

// The program in README.md is the quick start, byte for byte.
func TestREADMEShowsTheQuickStart(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("quickstart/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(readme), "```go\n")
	block, _, ended := strings.Cut(block, "```\n")
	if !ok || !ended {
		t.Fatal("README.md has no Go program")
	}
	if block != string(program) {
		t.Error("the first Go program of README.md is not internal/demo/quickstart/main.go: copy that over it")
	}
}

// It runs, and prints what README.md says it does.
func TestQuickStartRuns(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	out, err := program(t, "quickstart", "REDIS_URL="+s.URL()).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const want = "loaded Ada\nhello Ada\nhello Ada\nhello Ada\ntoo many requests\n"
	if string(out) != want {
		t.Errorf("it printed\n%s", out)
	}
	if !strings.Contains(string(readme), "```text\n"+want+"```\n") {
		t.Error("README.md does not show what it prints")
	}
}
