package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"
)

// containers counts the containers of a run.
func containers(t *testing.T, e *engine, run string) int {
	t.Helper()
	defer e.idle()
	list, err := e.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelRun+"="+run)})
	must(t, err)
	return len(list.Items)
}

func mustEngine(t *testing.T) *engine {
	t.Helper()
	e, err := dockerEngine()
	if errors.Is(err, errNoDocker) && os.Getenv(EnvServer) == string(Local) {
		// What runs the tests has said so, and says in its summary that they
		// did not run.
		t.Skip("no Docker engine, and " + EnvServer + " asks for none")
	}
	must(t, err)
	return e
}

// failing is a test that fails, as far as this package can tell.
type failing struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (f *failing) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *failing) Helper()          {}
func (f *failing) Errorf(format string, a ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, a...))
}

func (f *failing) end() {
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		last()
	}
}

// TestCleanupLeavesNothing is not parallel: it counts containers and goroutines.
func TestCleanupLeavesNothing(t *testing.T) {
	e := mustEngine(t)
	run := e.labels[labelRun]
	before, goroutines := containers(t, e, run), goleak.IgnoreCurrent()

	f := &failing{TB: t}
	frozen := Standalone(f, Options{})
	must(t, frozen.Freeze(t.Context()))
	killed := Standalone(f, Options{})
	proxy := NewProxy(f, killed)
	held := through(t, proxy)
	proxy.Blackhole(Both)
	must(t, held.Send(t.Context(), "PING"))
	must(t, killed.Kill(t.Context()))
	g := Sentinel(f, Options{})
	must(t, g.Isolate(g.Servers[0], Hold))
	must(t, g.Servers[1].Freeze(t.Context()))
	if n := containers(t, e, run); n != before+8 {
		t.Fatalf("%d containers, want 8 more than %d: the count does not count", n, before)
	}

	f.end()
	_ = held.Close()
	if n := containers(t, e, run); n != before || len(f.errors) > 0 {
		t.Errorf("%d containers left, errors %v", n-before, f.errors)
	}
	must(t, goleak.Find(goroutines))
	if err := killed.Restart(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("restarting what was removed: %v", err)
	}
}

func TestStaleContainersAreRemoved(t *testing.T) {
	t.Parallel()
	alive := identity()
	other := func(k, v string) map[string]string {
		m := maps.Clone(alive)
		m[k] = v
		return m
	}
	for name, test := range map[string]struct {
		labels map[string]string
		want   bool
	}{
		"this process":      {alive, false},
		"no such process":   {other(labelPID, "4194305"), true}, // above the kernel's maximum
		"pid was reused":    {other(labelStart, "1"), true},
		"before a reboot":   {other(labelBoot, "x"), true},
		"another PID space": {other(labelPIDNS, "x"), false},
	} {
		if got := stale(test.labels, alive); got != test.want {
			t.Errorf("%s: stale %t, want %t", name, got, test.want)
		}
	}

	// A container of a dead process goes; that of this one stays.
	e := mustEngine(t)
	// Both in a PID space that only this test knows: other processes on the
	// machine sweep as well, and must not do it in our place.
	sweeper := &engine{api: e.api, labels: maps.Clone(alive), reaper: &exec.Cmd{}}
	sweeper.labels[labelPIDNS] = "of " + t.Name() + e.labels[labelRun]
	dead := &engine{api: e.api, labels: other(labelStart, "1"), reaper: &exec.Cmd{}}
	dead.labels[labelPIDNS] = sweeper.labels[labelPIDNS]
	dead.labels[labelRun] = "dead-" + dead.labels[labelRun]
	r, err := newDockerRunner(t.Context(), dead, spec{version: Redis80})
	must(t, err)
	t.Cleanup(func() { must(t, r.remove(context.WithoutCancel(t.Context()))) })
	must(t, r.start(t.Context(), map[string][]byte{configFile: []byte("port 0\n")}))
	mine := Standalone(t, Options{})
	must(t, sweeper.removeStale(t.Context()))
	must(t, e.removeStale(t.Context()))
	if n := containers(t, e, dead.labels[labelRun]); n != 0 {
		t.Errorf("%d containers of a dead process are left", n)
	}
	do(t, mine, "PING")
}

// childEnv makes this test binary, run again, play a process that is killed.
const childEnv = "REDISTEST_TEST_CHILD"

// TestChild is that process: it starts a server, says where, and waits.
func TestChild(t *testing.T) {
	version := os.Getenv(childEnv)
	if version == "" {
		return // an ordinary run
	}
	if e, err := dockerEngine(); err == nil {
		// No other process can tell whether this one lives, and so none removes
		// the container as stale: only its own reaper can.
		e.labels[labelPIDNS] = "of its own"
	}
	s, err := StartServer(t.Context(), Options{Version: Version(version)})
	must(t, err)
	run := "-"
	if e := started.Load(); e != nil {
		run = e.labels[labelRun]
	}
	fmt.Println("CHILD", s.Addr(), run)
	select {}
}

// childThatIsKilled runs a process that starts a server, kills it without a
// chance to clean up, and returns the server's address.
func childThatIsKilled(t *testing.T, v Version) (addr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.timeout=1m") //nolint:gosec // this test binary itself
	cmd.Env = append(os.Environ(), childEnv+"="+string(v))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var run string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "CHILD "); ok {
			addr, run, _ = strings.Cut(rest, " ")
			break
		}
	}
	if addr == "" {
		t.Errorf("the child started no server")
	} else if nc, err := net.Dial("tcp", addr); err != nil {
		t.Errorf("the child's server: %v", err)
	} else {
		_ = nc.Close()
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait() // killed, as it says
	if run != "-" && run != "" {
		e := mustEngine(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		must(t, poll(ctx, func() (bool, error) { return containers(t, e, run) == 0, nil },
			func() string { return "the dead process's container is gone" }))
	}
	return addr
}

func TestContainersOfAKilledProcessGo(t *testing.T) {
	t.Parallel()
	v, err := DefaultVersion()
	must(t, err)
	childThatIsKilled(t, v)
}

func TestStaleDirectoriesAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead := identity()
	dead[labelStart] = "1"
	stale, err := os.MkdirTemp("", dirPrefix(dead)+"-")
	must(t, err)
	own, err := os.MkdirTemp("", dirPrefix(identity())+"-")
	must(t, err)
	sweepDirs()
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dead process's directory is left: %v", err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("this process's directory is gone: %v", err)
	}
}
