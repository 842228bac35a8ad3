package lock_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/lock"
)

func TestRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := unused(t)
	_, err := lock.New(nil, lock.Options{})
	wantArgument(t, "nil client", err, "client")
	for name, ttl := range map[string]time.Duration{"negative": -1, "short": lock.MinTTL - 1, "long": lock.MaxTTL + 1} {
		_, err = lock.New(c, lock.Options{TTL: ttl})
		wantArgument(t, name+" TTL", err, "Options.TTL")
	}

	locks, err := lock.New(c, lock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what, name string
		ttl        time.Duration
		argument   string
	}{
		{"no name", "", time.Second, "name"},
		{"long name", strings.Repeat("n", conn.MaxKey), time.Second, "name"},
		{"name that is long once escaped", strings.Repeat("{", conn.MaxKey/2), time.Second, "name"},
		{"negative TTL", "n", -1, "ttl"},
		{"short TTL", "n", lock.MinTTL - 1, "ttl"},
		{"long TTL", "n", lock.MaxTTL + 1, "ttl"},
	} {
		l, err := locks.TryAcquire(t.Context(), tc.name, tc.ttl)
		wantArgument(t, tc.what, err, tc.argument)
		if l != nil {
			t.Errorf("%s: a lock beside the error", tc.what)
		}
	}
}
