package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// through connects to a server's proxy.
func through(t *testing.T, p *Proxy) *Conn {
	t.Helper()
	c, err := dial(t.Context(), p.Addr(), nil)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask runs a command that has to succeed on one connection.
func ask(t *testing.T, c *Conn, args ...any) any {
	t.Helper()
	reply, err := c.Do(t.Context(), args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// hears waits a short time for a reply, and reports whether one came.
func hears(t *testing.T, c *Conn) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Receive(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("want a reply or silence, got %v", err)
	}
	return err == nil
}

func TestProxyLatencyAndBandwidth(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, SharedStandalone(t, Options{}))
	c := through(t, p)
	ask(t, c, "PING")

	p.Latency(80 * time.Millisecond)
	began := time.Now()
	for range 20 {
		must(t, c.Send(t.Context(), "PING"))
	}
	for range 20 {
		if _, err := c.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// A pipeline is late as a whole, not once a command.
	if took := time.Since(began); took < 80*time.Millisecond || took > 800*time.Millisecond {
		t.Errorf("20 pipelined commands took %v with 80 ms latency", took)
	}
	must(t, p.Heal())

	p.Bandwidth(100_000)
	began = time.Now()
	ask(t, c, "ECHO", strings.Repeat("x", 20_000)) // 0.2 s each way, at once on both
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("20 kB took %v at 100 kB/s", took)
	}
	must(t, p.Heal())
	ask(t, c, "PING")
}

func TestProxyResetAndRefuse(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, SharedStandalone(t, Options{}))
	c := through(t, p)
	ask(t, c, "PING")
	if n := p.Reset(); n != 1 {
		t.Errorf("reset %d connections, want 1", n)
	}
	if _, err := c.Receive(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}

	open := through(t, p)
	ask(t, open, "PING")
	must(t, p.Refuse())
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want refused", err)
	}
	ask(t, open, "PING")
	must(t, p.Heal())
	ask(t, through(t, p), "PING")
	if got := p.Stats(); got.Connections != 3 || got.Resets != 1 || got.Open != 2 || got.Commands != 4 || got.Replies != 4 {
		t.Errorf("stats %+v", got)
	}
}

func TestProxyBlackholeHoldsAndDelivers(t *testing.T) {
	t.Parallel()
	s := SharedStandalone(t, Options{})
	for name, direction := range map[string]Direction{"up": Up, "down": Down, "both": Both} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := NewProxy(t, s)
			c := through(t, p)
			key := "blackhole:" + name
			ask(t, c, "DEL", key)
			p.Blackhole(direction)
			must(t, c.Send(t.Context(), "INCR", key))
			if hears(t, c) {
				t.Fatal("a reply came through")
			}
			executed := do(t, s, "GET", key) != nil
			if want := direction == Down; executed != want {
				t.Errorf("executed behind the black hole: %t, want %t", executed, want)
			}
			late := through(t, p) // accepted, and silent as well
			must(t, late.Send(t.Context(), "PING"))
			if hears(t, late) {
				t.Error("a reply came through to a new connection")
			}
			must(t, p.Heal())
			if got, err := c.Receive(t.Context()); got != int64(1) || err != nil {
				t.Errorf("after the heal: %v, %v, want 1", got, err)
			}
		})
	}
}

func TestProxySwallowsReply(t *testing.T) {
	t.Parallel()
	s := SharedStandalone(t, Options{})
	p := NewProxy(t, s)

	do(t, s, "DEL", "swallow:a", "swallow:b")
	c := through(t, p)
	w, err := p.SwallowReply(Command("incr", "swallow:a"), true)
	must(t, err)
	ask(t, c, "INCR", "swallow:b") // another key: not the one
	must(t, c.Send(t.Context(), "INCR", "swallow:a"))
	if _, err := c.Receive(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset in place of the reply", err)
	}
	command, reply, err := w.Wait(t.Context())
	if err != nil || strings.Join(command, " ") != "INCR swallow:a" || string(reply) != ":1\r\n" {
		t.Errorf("swallowed %q %q, %v", command, reply, err)
	}
	if got := do(t, s, "GET", "swallow:a"); got != "1" {
		t.Errorf("the server has %v, want 1: it executed the command", got)
	}

	silent, other := through(t, p), through(t, p)
	w, err = p.SwallowReply(Command("INCR", "swallow:a"), false)
	must(t, err)
	must(t, silent.Send(t.Context(), "INCR", "swallow:a"))
	_, _, err = w.Wait(t.Context())
	must(t, err)
	must(t, silent.Send(t.Context(), "INCR", "swallow:a")) // its reply would be taken for the first's
	if hears(t, silent) {
		t.Error("a later reply came through on the connection whose reply was swallowed")
	}
	ask(t, other, "PING")
	if got := p.Stats().Swallowed; got != 2 {
		t.Errorf("%d swallowed, want 2", got)
	}

	cancelled, err := p.SwallowReply(Command("PING"), false)
	must(t, err)
	cancelled.Cancel()
	ask(t, other, "PING")
}

// TestProxyMatchesRepliesAroundPushes sends pipelines in which pushes and failed
// subscriptions stand between replies, and has the reply of the last command
// swallowed: if the proxy miscounted it would take another.
func TestProxyMatchesRepliesAroundPushes(t *testing.T) {
	t.Parallel()
	s := Standalone(t, Options{Users: []string{"u on >p ~* +@all resetchannels &ok*"}})
	p := NewProxy(t, s)
	nc, err := net.Dial("tcp", p.Addr())
	must(t, err)
	defer nc.Close()
	must(t, nc.SetDeadline(time.Now().Add(5*time.Second)))
	r := bufio.NewReader(nc)
	send := func(lines ...string) {
		t.Helper()
		_, err := nc.Write([]byte(strings.Join(lines, "\r\n") + "\r\n"))
		must(t, err)
	}
	// until reads until the reply to ECHO mark, and returns what came before.
	until := func(mark string) string {
		t.Helper()
		var got strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%v after %q", err, &got)
			}
			got.WriteString(line)
			if line == mark+"\r\n" {
				return got.String()
			}
		}
	}
	w, err := p.SwallowReply(Command("ECHO", "last"), true)
	must(t, err)
	send("HELLO 3 AUTH u p", "CLIENT TRACKING ON", "GET k", "ECHO one")
	until("one")
	do(t, s, "SET", "k", "v") // an invalidation
	send("SUBSCRIBE ok1 ok2", "SUBSCRIBE forbidden", "ECHO two", "UNSUBSCRIBE ok1", "PING", "ECHO three")
	if got := until("three"); !strings.Contains(got, "invalidate") || !strings.Contains(got, "NOPERM") || strings.Count(got, "\r\nsubscribe\r\n") != 2 {
		t.Errorf("got %q, want an invalidation, two confirmations and NOPERM", got)
	}
	do(t, s, "PUBLISH", "ok2", "message")
	send("SUBSCRIBE ok3 ok4", "ECHO last")
	rest, err := io.ReadAll(r)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v, want a reset", rest, err)
	}
	if _, reply, err := w.Wait(t.Context()); err != nil || string(reply) != "$4\r\nlast\r\n" {
		t.Errorf("swallowed %q, %v, want the reply to ECHO last", reply, err)
	}
	if got := p.Stats(); got.Pushes < 7 { // 1 invalidation, 4+1 (un)subscriptions, 1 message
		t.Errorf("%d pushes counted, want 7", got.Pushes)
	}
}

func TestProxyLetsThroughWhatItCannotRead(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, SharedStandalone(t, Options{}))
	c := through(t, p)
	if got := ask(t, c, "SUBSCRIBE", "a", "b"); fmt.Sprint(got) != "[subscribe a 1]" { // RESP2
		t.Errorf("got %v", got)
	}
	if got, err := c.Receive(t.Context()); err != nil || fmt.Sprint(got) != "[subscribe b 2]" {
		t.Errorf("got %v, %v", got, err)
	}
	nc, err := net.Dial("tcp", p.Addr())
	must(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("*1\r\n:rubbish\r\n*not-a-number\r\n"))
	must(t, err)
	if got, _ := io.ReadAll(nc); !strings.Contains(string(got), "Protocol error") {
		t.Errorf("got %q, want the server's own answer to rubbish", got)
	}
}
