package session_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/session"
)

func TestNewRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := unused(t)
	for _, tc := range []struct {
		name     string
		c        *conn.Client
		opts     session.Options
		argument string
	}{
		{"nil client", nil, session.Options{}, "client"},
		{"negative lifetime", c, session.Options{Lifetime: -time.Hour}, "Options.Lifetime"},
		{"short lifetime", c, session.Options{Lifetime: time.Millisecond}, "Options.Lifetime"},
		{"endless lifetime", c, session.Options{Lifetime: math.MaxInt64}, "Options.Lifetime"},
		{"negative idle time-out", c, session.Options{IdleTimeout: -time.Hour}, "Options.IdleTimeout"},
		{"short idle time-out", c, session.Options{IdleTimeout: time.Millisecond}, "Options.IdleTimeout"},
		{"idle time-out beyond the default lifetime", c, session.Options{IdleTimeout: 25 * time.Hour}, "Options.IdleTimeout"},
	} {
		_, err := session.New[struct{}](tc.c, tc.opts)
		wantArgument(t, tc.name, err, tc.argument)
	}
	if _, err := session.New[struct{}](c, session.Options{Lifetime: time.Minute}); err != nil {
		t.Errorf("a lifetime below the default idle time-out: %v", err)
	}
}

func TestCreateRefusesBadInput(t *testing.T) {
	t.Parallel()
	sessions, err := session.New[any](unused(t), session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, user string
		metadata   any
		argument   string
	}{
		{"no user", "", nil, "user"},
		{"long user", strings.Repeat("u", conn.MaxKey), nil, "user"},
		{"no JSON", "u", map[string]any{"f": func() {}}, "metadata"},
		{"no object", "u", []int{1}, "metadata"},
		{"a text", "u", "{}", "metadata"},
	} {
		id, _, err := sessions.Create(t.Context(), tc.user, tc.metadata)
		wantArgument(t, tc.name, err, tc.argument)
		if !id.IsZero() {
			t.Errorf("%s: an ID beside the error", tc.name)
		}
	}
}

// What cannot be an ID is not found, without asking Redis.
func TestMalformedIDsAreNotFound(t *testing.T) {
	t.Parallel()
	sessions, err := session.New[struct{}](unused(t), session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "x", someID + "x", strings.Repeat("*", 43)} {
		id := session.IDFromString(s)
		if _, err := sessions.Get(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Get %q: %v", s, err)
		}
		if err := sessions.Touch(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Touch %q: %v", s, err)
		}
		if err := sessions.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete %q: %v", s, err)
		}
	}
}
