package ratelimit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/ratelimit"
)

func TestNewRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := unused(t)
	limit := func(n int, d time.Duration) ratelimit.Options {
		return ratelimit.Options{Limit: ratelimit.Limit{Max: n, Window: d}}
	}
	for _, tc := range []struct {
		name     string
		c        *conn.Client
		action   string
		opts     ratelimit.Options
		argument string
	}{
		{"nil client", nil, "a", limit(1, time.Second), "client"},
		{"no action", c, "", limit(1, time.Second), "action"},
		{"no window", c, "a", limit(1, 0), "Options.Limit.Window"},
		{"short window", c, "a", limit(1, time.Microsecond), "Options.Limit.Window"},
		{"endless window", c, "a", limit(1, ratelimit.MaxWindow+1), "Options.Limit.Window"},
		{"no limit", c, "a", limit(0, time.Second), "Options.Limit.Max"},
		{"negative limit", c, "a", limit(-1, time.Second), "Options.Limit.Max"},
		{"limit beyond exact numbers", c, "a", limit(ratelimit.MaxPerWindow+1, time.Second), "Options.Limit.Max"},
	} {
		_, err := ratelimit.New(tc.c, tc.action, tc.opts)
		wantArgument(t, tc.name, err, tc.argument)
	}
}

func TestConsumeRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := unused(t)
	limiter, err := ratelimit.New(c, "a", ratelimit.Options{Limit: ratelimit.Limit{Max: 5, Window: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	limitless, err := ratelimit.New(c, "a", ratelimit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name       string
		limiter    *ratelimit.Limiter
		identifier string
		opts       []ratelimit.Option
		argument   string
	}{
		{"no identifier", limiter, "", nil, "identifier"},
		{"long identifier", limiter, strings.Repeat("i", conn.MaxKey), nil, "identifier"},
		{"identifier that is long once escaped", limiter, strings.Repeat("{", conn.MaxKey/2), nil, "identifier"},
		{"no cost", limiter, "i", []ratelimit.Option{ratelimit.WithCost(0)}, "cost"},
		{"negative cost", limiter, "i", []ratelimit.Option{ratelimit.WithCost(-1)}, "cost"},
		{"cost that is never allowed", limiter, "i", []ratelimit.Option{ratelimit.WithCost(6)}, "cost"},
		{"bad limit of the call", limiter, "i", []ratelimit.Option{ratelimit.WithLimit(ratelimit.Limit{Max: 1})}, "limit.Window"},
		{"no limit at all", limitless, "i", nil, "Options.Limit.Max"},
	} {
		r, err := tc.limiter.Consume(t.Context(), tc.identifier, tc.opts...)
		wantArgument(t, tc.name, err, tc.argument)
		if r != (ratelimit.Result{}) {
			t.Errorf("%s: a result beside the error: %+v", tc.name, r)
		}
	}
}

// Errors name the action, and not who it was about.
func TestErrorsDoNotNameTheCaller(t *testing.T) {
	t.Parallel()
	limiter, err := ratelimit.New(unused(t), "login", ratelimit.Options{Limit: ratelimit.Limit{Max: 5, Window: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = limiter.Consume(t.Context(), "ada@example.org", ratelimit.WithCost(6))
	_, other := limiter.Consume(t.Context(), "bob@example.org", ratelimit.WithCost(6))
	text := err.Error()
	if !strings.HasPrefix(text, `ratelimit: consume "login" for identifier `) || strings.Contains(text, "ada") {
		t.Errorf("the error is %q", text)
	}
	if text == other.Error() {
		t.Errorf("two callers cannot be told apart: %q", text)
	}
}
