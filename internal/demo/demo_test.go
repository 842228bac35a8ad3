package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relay-platform/redis/internal/redistest"
)

// programs are built by TestMain: the demo and the quick start, as a user runs
// them.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "demo-test-")
	if err == nil {
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir, ".", "./quickstart").CombinedOutput(); err != nil {
			err = fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	redistest.Main(m, func() error { return os.RemoveAll(dir) })
}

// program prepares a run of a program with nothing of Redis in its environment
// but what env says.
func program(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(programs, name))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "REDIS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// runDemo runs the demo to its end.
func runDemo(t *testing.T, env ...string) (code int, out, errOut string) {
	t.Helper()
	cmd := program(t, "demo", env...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("exit code %d\n%s%s", cmd.ProcessState.ExitCode(), o.String(), e.String())
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// wantSteps checks that all steps are there, in order, each with its time and
// what it proved, and aligned.
func wantSteps(t *testing.T, out string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^  ok      (Connect|Cache|Session|Rate limit|Lock|Health) +\d+\.\d ms   \S.{10,}$`)
	var names []string
	column := -1
	for _, found := range line.FindAllStringSubmatch(out, -1) {
		names = append(names, found[1])
		at := strings.Index(found[0], " ms   ")
		if column >= 0 && at != column {
			t.Errorf("%q is not aligned with the others", found[0])
		}
		column = at
	}
	if got := strings.Join(names, ", "); got != "Connect, Cache, Session, Rate limit, Lock, Health" {
		t.Errorf("the steps are %s", got)
	}
	for _, want := range []string{"let 3 calls pass", "README.md", "All of it worked."} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
}

// addrIn returns the address in the line that names the server.
func addrIn(t *testing.T, out string) string {
	t.Helper()
	found := regexp.MustCompile(`Server: .*? at (127\.0\.0\.1:\d+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatal("the server's address is not told")
	}
	return found[1]
}

// wantGone checks that nobody listens at an address.
func wantGone(t *testing.T, addr string) {
	t.Helper()
	if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		c.Close()
		t.Errorf("a server is left at %s", addr)
	}
}

func wantEmpty(t *testing.T, s *redistest.Server) {
	t.Helper()
	keys, err := s.Do(t.Context(), "KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	if list, ok := keys.([]any); !ok || len(list) != 0 {
		t.Errorf("keys are left: %v", keys)
	}
}

// On the user's server the steps work, and nothing is left there; what was there
// is untouched.
func TestOnRedisURL(t *testing.T) {
	t.Parallel()
	for _, topology := range []redistest.Topology{redistest.TopologyStandalone, redistest.TopologyCluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			if v, err := redistest.DefaultVersion(); err != nil {
				t.Fatal(err)
			} else if v == redistest.Local && topology != redistest.TopologyStandalone {
				t.Skip("there are no local clusters: REDISTEST_SERVER=local")
			}
			g, err := redistest.StartGroup(t.Context(), topology, redistest.Options{Password: "s3cret"})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			url := g.URL()
			code, out, errOut := runDemo(t, "REDIS_URL="+url, "REDIS_KEY_PREFIX=app:")
			if code != 0 || errOut != "" || !strings.Contains(out, "yours, which REDIS_URL names") {
				t.Errorf("exit code %d", code)
			}
			wantSteps(t, out)
			if strings.Contains(out+errOut, "s3cret") {
				t.Error("the password is shown")
			}
			for _, s := range g.Servers {
				wantEmpty(t, s)
			}
		})
	}
}

// Without REDIS_URL it starts a server, and stops it.
func TestStartsAServer(t *testing.T) {
	t.Parallel()
	code, out, errOut := runDemo(t)
	if code != 0 || errOut != "" || !strings.Contains(out, "a Redis that this demo has started") {
		t.Errorf("exit code %d", code)
	}
	wantSteps(t, out)
	wantGone(t, addrIn(t, out))
}

// Where no Redis can be started an embedded one does, and it is said.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	// No server program in PATH, and an order for a version that no engine has.
	code, out, errOut := runDemo(t, "PATH=/nonexistent", "REDISTEST_SERVER=none")
	if code != 0 || errOut != "" || !strings.Contains(out, "an imitation inside of this program (miniredis)") || !strings.Contains(out, "no redis-server or valkey-server in PATH") {
		t.Errorf("exit code %d", code)
	}
	wantSteps(t, out)
	wantGone(t, addrIn(t, out))
}

// A failure is exit code 1, says what went wrong, and what to do.
func TestFailsHelpfully(t *testing.T) {
	t.Parallel()
	secured := redistest.SharedStandalone(t, redistest.Options{Password: "right"})
	full := redistest.SharedStandalone(t, redistest.Options{Config: map[string]string{"maxmemory": "1", "maxmemory-policy": "noeviction"}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := l.Addr().String()
	l.Close()
	for _, tc := range []struct {
		name string
		env  []string
		want []string
	}{
		{"nowhere", []string{"REDIS_URL=redis://" + nowhere}, []string{`step "Connect"`, nowhere, "connection refused", "What to do: start your Redis, or correct host and port in REDIS_URL", "unset REDIS_URL"}},
		{"wrong password", []string{"REDIS_URL=redis://:wr0ng@" + secured.Addr()}, []string{`step "Connect"`, secured.Addr(), "authentication failed", "What to do: give user name and password"}},
		{"no such host", []string{"REDIS_URL=redis://no-such-host.invalid:6379"}, []string{"no-such-host.invalid", "What to do: correct the host name"}},
		{"out of memory", []string{"REDIS_URL=" + full.URL()}, []string{`step "Cache"`, "out of memory", "What to do: the server's memory is full"}},
		{"no URL", []string{"REDIS_URL=colour://red:wr0ng@host"}, []string{"REDIS_URL", "What to do: correct the variable"}},
		{"another variable alone", []string{"REDIS_HOST=host"}, []string{"REDIS_HOST is set, but REDIS_URL is not", "What to do: set REDIS_URL"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := runDemo(t, tc.env...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("the error does not say %q", want)
				}
			}
			if strings.Contains(out, "All of it worked") || strings.Contains(out+errOut, "wr0ng") {
				t.Error("it says what it should not")
			}
		})
	}
}

// Ctrl-C in the middle leaves nothing behind: no keys on the user's server, no
// server of its own.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	p := redistest.NewProxy(t, s)
	p.Latency(250 * time.Millisecond) // so that there is a middle
	code, out, errOut := interrupt(t, program(t, "demo", "REDIS_URL=redis://"+p.Addr()), "ok      Cache")
	if code != interrupted || !strings.Contains(errOut, "Stopped. The demo's keys are removed again (1).") || strings.Contains(out, "Health") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	wantEmpty(t, s)

	// Wherever it is by then: also when it is done.
	code, out, errOut = interrupt(t, program(t, "demo"), "Server: ")
	if code != interrupted && code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	wantGone(t, addrIn(t, out))
}

// interrupt starts a program, sends it SIGINT when it has written a line that
// contains after, and waits for its end.
func interrupt(t *testing.T, cmd *exec.Cmd, after string) (code int, out, errOut string) {
	t.Helper()
	var e bytes.Buffer
	cmd.Stderr = &e
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sent := false
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		out += lines.Text() + "\n"
		if !sent && strings.Contains(lines.Text(), after) {
			sent = true
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); !sent {
		t.Fatalf("it did not come to %q: %v\n%s%s", after, err, out, e.String())
	}
	return cmd.ProcessState.ExitCode(), out, e.String()
}
