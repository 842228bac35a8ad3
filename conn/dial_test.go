package conn

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The pause doubles from 50 ms to a second, and half of it is random.
func TestBackoff(t *testing.T) {
	for n, most := range map[int]time.Duration{
		-1: 50 * time.Millisecond, 0: 50 * time.Millisecond, 1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond,
		4: 400 * time.Millisecond, 5: 800 * time.Millisecond, 6: time.Second, 7: time.Second, 64: time.Second, math.MaxInt: time.Second,
	} {
		low, high := time.Duration(math.MaxInt64), time.Duration(0)
		for range 1000 {
			d := backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low < most/2 || high > most {
			t.Errorf("after %d failures it is between %v and %v, outside %v to %v", n, low, high, most/2, most)
		}
		// Of 1000 draws some fall into the outer tenths, but in one of 10^45 runs.
		if low > most/2+most/20 || high < most-most/20 {
			t.Errorf("after %d failures it is only between %v and %v: processes come back in step", n, low, high)
		}
	}
}

// After a failure, dials are answered at once with its reason until the pause
// is over; then one goes through, and the others wait for what it finds.
func TestDialPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &offloading(t, 1).dialer
		if err := d.admit(t.Context(), "h:1"); err != nil {
			t.Fatalf("the first dial: %v", err)
		}
		for i, reason := range []error{errors.New("first"), errors.New("second")} {
			d.failed("h:1", reason)
			for range 10 {
				if err := d.admit(t.Context(), "h:1"); !errors.Is(err, reason) {
					t.Errorf("during the pause: %v", err)
				}
			}
			if err := d.admit(t.Context(), "h:2"); err != nil {
				t.Errorf("another address: %v", err)
			}
			if err := d.admit(context.WithValue(t.Context(), probeKey{}, true), "h:1"); err != nil {
				t.Errorf("a probe: %v", err)
			}
			time.Sleep(50 * time.Millisecond << i) // the longest that this pause may be
			if err := d.admit(t.Context(), "h:1"); err != nil {
				t.Errorf("after the pause: %v", err)
			}
			for range 10 {
				if err := d.admit(t.Context(), "h:1"); !errors.Is(err, reason) {
					t.Errorf("another dial while one is under way: %v", err)
				}
			}
		}
		// Success forgets the failures, and the next pause is short again.
		d.succeeded("h:1")
		if err := d.admit(t.Context(), "h:1"); err != nil || len(d.lastErrors()) != 0 {
			t.Errorf("after success: %v, %v", err, d.lastErrors())
		}
		for range 6 {
			d.failed("h:1", errors.New("third"))
		}
		d.succeeded("h:1")
		d.failed("h:1", errors.New("fourth"))
		time.Sleep(50 * time.Millisecond)
		if err := d.admit(t.Context(), "h:1"); err != nil {
			t.Errorf("the pause after success is long: %v", err)
		}
	})
}

// Hundreds of callers that dial while a server is down make one attempt a
// pause.
func TestDialStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &offloading(t, 1).dialer
		d.failed("h:1", errors.New("down"))
		var through atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range 1000 { // ten seconds
					if d.admit(t.Context(), "h:1") == nil {
						through.Add(1)
						time.Sleep(time.Millisecond)
						d.failed("h:1", errors.New("down"))
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		// Pauses of at least 25, 50, 100, 200, 400, and then 500 ms.
		if n := through.Load(); n < 9 || n > 25 {
			t.Errorf("%d attempts in 10 s", n)
		}
	})
}

func TestDialLastErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &offloading(t, 1).dialer
		d.failed("i:1", &Error{Addr: "i:1", Kinds: []error{ErrNotConnected, ErrRefused}})
		d.failed("h:1", &Error{Addr: "h:1", Kinds: []error{ErrNotConnected, ErrDNS}})
		errs := d.lastErrors()
		if len(errs) != 2 || errs.Error() != "not connected, host not found (h:1); not connected, connection refused (i:1)" {
			t.Errorf("%v", errs)
		}
		wantIs(t, errs, ErrNotConnected, ErrRefused, ErrDNS)
	})
}

// After Close nothing is dialled.
func TestDialAfterClose(t *testing.T) {
	c := lazy(t, Config{})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.dialer.dial(t.Context(), "127.0.0.1:1", &net.Dialer{}, nil)
	wantIs(t, err, ErrNotConnected, ErrClosed)
}

// The reason is kept and sorted, and the address named.
func TestDialExplains(t *testing.T) {
	d := &lazy(t, Config{}).dialer
	for _, tc := range []struct {
		err  error
		kind error
		hint string
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, ErrRefused, "refused"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}}, ErrDNS, "no such host"},
		{context.DeadlineExceeded, ErrTimeout, "firewall"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, ErrTimeout, "timeout"},
		{&Error{Kinds: []error{ErrTLS}, Err: errors.New("bad certificate")}, ErrTLS, "bad certificate"},
	} {
		err := d.explain("h:1", tc.err)
		wantIs(t, err, ErrNotConnected, tc.kind)
		var ours *Error
		if !errors.As(err, &ours) || ours.Addr != "h:1" {
			t.Errorf("%v does not name the address", err)
		}
		if text := err.Error(); !strings.Contains(text, tc.hint) || !strings.Contains(text, "h:1") {
			t.Errorf("%s: does not mention %q", text, tc.hint)
		}
	}
}
