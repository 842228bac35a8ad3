package cache_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/cache"
	"github.com/relay-platform/redis/conn"
)

func TestNewRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := unused(t)
	for _, tc := range []struct {
		name      string
		c         *conn.Client
		namespace string
		opts      cache.Options
		argument  string
	}{
		{"nil client", nil, "n", cache.Options{}, "client"},
		{"no namespace", c, "", cache.Options{}, "namespace"},
		{"long namespace", c, strings.Repeat("n", conn.MaxKey), cache.Options{}, "namespace"},
		{"negative TTL", c, "n", cache.Options{TTL: -time.Second}, "Options.TTL"},
		{"TTL below Redis' unit", c, "n", cache.Options{TTL: time.Microsecond}, "Options.TTL"},
	} {
		_, err := cache.New[string](tc.c, tc.namespace, tc.opts)
		wantArgument(t, tc.name, err, tc.argument)
	}
}

func TestCallsRefuseBadInput(t *testing.T) {
	t.Parallel()
	values, err := cache.New[any](unused(t), "n", cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, key string
		value     any
		argument  string
	}{
		{"empty key", "", 1, "key"},
		{"long key", strings.Repeat("k", conn.MaxKey), 1, "key"},
		{"key that is long once escaped", strings.Repeat("{", conn.MaxKey/2), 1, "key"},
		{"no JSON", "k", math.NaN(), "value"},
	} {
		wantArgument(t, tc.name+": Set", values.Set(t.Context(), tc.key, tc.value), tc.argument)
		if tc.argument != "key" {
			continue
		}
		_, err := values.Get(t.Context(), tc.key)
		wantArgument(t, tc.name+": Get", err, "key")
		wantArgument(t, tc.name+": Delete", values.Delete(t.Context(), tc.key), "key")
	}
}

// Errors name the operation and the key, not all of a long one.
func TestErrorsSayWhat(t *testing.T) {
	t.Parallel()
	values, err := cache.New[string](unused(t), "n", cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := "a\n" + strings.Repeat("b", conn.MaxKey)
	err = values.Set(t.Context(), key, "v")
	if text := err.Error(); !strings.HasPrefix(text, `cache: set "a\nbbb`) || len(text) > 200 || strings.Contains(text, "conn: ") {
		t.Errorf("the error is %q", text)
	}
}
