package redistest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// These tests wait far more than they compute: several of them fit on a core.
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	Main(m, func() error { return goleak.Find() })
}

// do runs a command that has to succeed.
func do(t *testing.T, s *Server, args ...any) any {
	t.Helper()
	reply, err := s.Do(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsAddressAndData(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{Config: map[string]string{"appendonly": "yes", "appendfsync": "always"}})
	addr := s.Addr()
	do(t, s, "SET", "k", "v")
	must(t, s.Restart(t.Context()))
	if got := do(t, s, "GET", "k"); got != "v" || s.Addr() != addr {
		t.Fatalf("after a restart k is %v at %s, want v at %s", got, s.Addr(), addr)
	}
	must(t, s.Kill(t.Context()))
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialing a killed server: %v, want connection refused", err)
	}
	must(t, s.Restart(t.Context()))
	if got := do(t, s, "GET", "k"); got != "v" {
		t.Fatalf("after a kill k is %v, want v", got)
	}
}

func TestStopSavesAndKillDoesNot(t *testing.T) {
	t.Parallel()
	// With a save point a server that is told to end writes its data to disk.
	s := Standalone(t, Options{Config: map[string]string{"save": "3600 1"}})
	do(t, s, "SET", "stopped", "v")
	must(t, s.Stop(t.Context()))
	must(t, s.Restart(t.Context()))
	do(t, s, "SET", "killed", "v")
	must(t, s.Kill(t.Context()))
	must(t, s.Restart(t.Context()))
	if stopped, killed := do(t, s, "GET", "stopped"), do(t, s, "GET", "killed"); stopped != "v" || killed != nil {
		t.Errorf("after a stop %v, want v; after a kill %v, want nothing", stopped, killed)
	}
}

func TestFreezeBlocksAndThawResumes(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{})
	warm, err := s.Dial(t.Context())
	must(t, err)
	defer warm.Close()
	must(t, s.Freeze(t.Context()))

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	must(t, warm.Send(t.Context(), "SET", "k", "v"))
	if _, err := warm.Receive(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a frozen server answered, or closed: %v", err)
	}
	cold, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatalf("a frozen server's kernel still accepts; got %v", err)
	}
	_ = cold.Close()

	must(t, s.Thaw(t.Context()))
	if got, err := warm.Receive(t.Context()); got != "OK" || err != nil {
		t.Fatalf("what was sent to the frozen server got %v, %v after the thaw, want OK on the same connection", got, err)
	}
	// Killing a frozen server works too, and so does removing one.
	must(t, s.Freeze(t.Context()))
	must(t, s.Kill(t.Context()))
	must(t, s.Restart(t.Context()))
	must(t, s.Freeze(t.Context()))
}

func TestConfigUsersAndSocket(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{
		Password: `p"w\ x`,
		Users:    []string{"alice on >secret ~a:* &* +get"},
		Config:   map[string]string{"client-output-buffer-limit": "pubsub 1mb 256kb 1", "maxmemory": "10mb"},
		Socket:   true,
	})
	if got := fmt.Sprint(do(t, s, "CONFIG", "GET", "maxmemory")); got != "[maxmemory 10485760]" {
		t.Errorf("maxmemory is %v", got)
	}
	c, err := dial(t.Context(), s.Socket(), nil)
	must(t, err)
	defer c.Close()
	for _, test := range []struct {
		args []any
		want string
	}{
		{[]any{"PING"}, "NOAUTH"},
		{[]any{"AUTH", "wrong"}, "WRONGPASS"},
		{[]any{"AUTH", `p"w\ x`}, ""},
		{[]any{"AUTH", "alice", "secret"}, ""},
		{[]any{"GET", "a:1"}, ""},
		{[]any{"GET", "b:1"}, "NOPERM"},
		{[]any{"SET", "a:1", "v"}, "NOPERM"},
	} {
		_, err := c.Do(t.Context(), test.args...)
		var reply ReplyError
		if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &reply) || !strings.HasPrefix(string(reply), test.want)) {
			t.Errorf("%v: %v, want %q", test.args, err, test.want)
		}
	}
}

func TestStartFailureShowsTheLog(t *testing.T) {
	t.Parallel()
	_, err := StartServer(t.Context(), Options{Config: map[string]string{"maxmemory": "much"}})
	if err == nil || !strings.Contains(err.Error(), "maxmemory") {
		t.Fatalf("got %v, want an error that shows what the server said about maxmemory", err)
	}
}

func TestMissingImageSaysWhatToDo(t *testing.T) {
	mustEngine(t)
	t.Parallel()
	_, err := StartServer(t.Context(), Options{Version: "redis:0.1"})
	if err == nil || !strings.Contains(err.Error(), "scripts/images.sh") {
		t.Fatalf("got %v, want an error that names scripts/images.sh", err)
	}
}

func TestStartDoesNotWaitForLoading(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{Config: map[string]string{
		"save":                                  "900 1",
		"key-load-delay":                        "2000", // microseconds a key
		"loading-process-events-interval-bytes": "1024",
		"enable-debug-command":                  "yes",
	}})
	do(t, s, "DEBUG", "POPULATE", 500)
	do(t, s, "SAVE")
	must(t, s.Kill(t.Context()))
	must(t, s.Start(t.Context()))
	eventually(t, "the server says LOADING", func() bool {
		_, err := s.Do(t.Context(), "GET", "k")
		return err != nil && strings.Contains(err.Error(), "LOADING")
	})
	must(t, s.AwaitReady(t.Context()))
	if got := do(t, s, "DBSIZE"); got != int64(500) {
		t.Errorf("%v keys after loading, want 500", got)
	}
}

func TestServerThatEndedByItselfRestarts(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{})
	_, _ = s.Do(t.Context(), "SHUTDOWN", "NOSAVE") // its reply is the end of the connection
	eventually(t, "the server is gone", func() bool {
		_, err := net.Dial("tcp", s.Addr())
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	must(t, s.Restart(t.Context()))
	do(t, s, "PING")
}

func TestDirectGroupHasNoGates(t *testing.T) {
	t.Parallel()
	g := Sentinel(t, Options{Direct: true})
	p, err := g.Primary(t.Context(), "")
	must(t, err)
	if p.Proxy() != nil || p.Addr() != p.port.addr() {
		t.Errorf("a direct server is behind a gate at %s", p.Addr())
	}
	if err := g.Isolate(p, Hold); err == nil {
		t.Error("a group without gates cannot be partitioned, and should say so")
	}
}

func TestEnvironmentIsChecked(t *testing.T) {
	t.Setenv(EnvServer, "redis:5.0")
	t.Setenv(EnvTopology, "ring")
	if _, err := DefaultVersion(); err == nil || !strings.Contains(err.Error(), EnvServer) {
		t.Errorf("got %v", err)
	}
	if _, err := DefaultTopology(); err == nil || !strings.Contains(err.Error(), EnvTopology) {
		t.Errorf("got %v", err)
	}
}
