package redistest

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestLocalProcess runs what matters on a local server, as where there is no
// Docker engine. Without one in PATH it fails and says how to get one.
func TestLocalProcess(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{Version: Local, Socket: true, TLS: &TLS{}, Config: map[string]string{"appendonly": "yes"}})
	local, ok := s.run.(*processRunner)
	if !ok {
		t.Fatalf("%s is no local process", s.run)
	}
	do(t, s, "SET", "k", "v")
	c, err := s.Dial(t.Context())
	must(t, err)
	defer c.Close()
	must(t, s.Freeze(t.Context()))
	must(t, c.Send(t.Context(), "GET", "k"))
	if hears(t, c) {
		t.Error("a frozen server answered")
	}
	must(t, s.Thaw(t.Context()))
	if got, err := c.Receive(t.Context()); got != "v" {
		t.Errorf("after the thaw: %v, %v", got, err)
	}
	must(t, s.Freeze(t.Context()))
	must(t, s.Kill(t.Context()))
	if _, err := net.Dial("tcp", s.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialing a killed server: %v, want refused", err)
	}
	must(t, s.Restart(t.Context()))
	if got := do(t, s, "GET", "k"); got != "v" {
		t.Errorf("after the restart: %v", got)
	}
	socket, err := dial(t.Context(), s.Socket(), nil)
	must(t, err)
	defer socket.Close()
	ask(t, socket, "PING")

	must(t, s.Freeze(t.Context()))
	must(t, s.Close())
	if _, err := os.Stat(local.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", local.dir, err)
	}
	if err := s.Thaw(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("thawing a closed server: %v", err)
	}
}

func TestLocalProcessOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	_, err := newProcessRunner(t.Context(), spec{version: "redis:0.1", strictVersion: true})
	if err == nil {
		t.Fatal("a local server of another version was taken for redis:0.1")
	}
}

func TestLocalServerDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	addr := childThatIsKilled(t, Local)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, poll(ctx, func() (bool, error) {
		_, err := net.Dial("tcp", addr)
		return errors.Is(err, syscall.ECONNREFUSED), nil
	}, func() string { return "the dead process's server is gone" }))
}
