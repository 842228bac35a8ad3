package conn

import (
	"strings"
	"testing"

	"github.com/redis/rueidis"
)

// What would change the connection that all callers share is refused before it
// is sent, however it is spelt.
func TestStatefulCommands(t *testing.T) {
	c := lazy(t, Config{})
	build := func(words ...string) rueidis.Completed { return c.B().Arbitrary(words...).Build() }
	for _, words := range [][]string{
		{"MULTI"},
		{"multi"},
		{"Multi"},
		{"EXEC"},
		{"DISCARD"},
		{"WATCH", "k"},
		{"UNWATCH"},
		{"SELECT", "1"},
		{"AUTH", canary},
		{"HELLO", "3"},
		{"hello", "2"},
		{"RESET"},
		{"QUIT"},
		{"MONITOR"},
		{"READONLY"},
		{"READWRITE"},
		{"ASKING"},
		{"CLIENT", "REPLY", "OFF"},
		{"client", "reply", "off"},
		{"CLIENT", "reply", "SKIP"},
		{"CLIENT", "TRACKING", "ON"},
		{"Client", "Caching", "yes"},
	} {
		err := c.Do(t.Context(), build(words...)).Error()
		wantArgument(t, err, "command")
		b := c.Batch()
		b.Do(build(words...))
		results := append(c.DoMulti(t.Context(), c.B().Get().Key("k").Build(), build(words...)), b.Exec(t.Context())...)
		for _, res := range results {
			wantArgument(t, res.Error(), "command")
			if strings.Contains(res.Error().Error(), canary) {
				t.Errorf("%v shows an argument", res.Error())
			}
		}
	}
	for _, words := range [][]string{{"HELLO"}, {"CLIENT", "INFO"}, {"CLIENT"}, {"CLIENT", "LIST"}, {"SET", "k", "v"}, {"X"}, {"SELECTED"}, {strings.Repeat("MULTI", 9)}} {
		if err := checkShared(build(words...)); err != nil {
			t.Errorf("%q: %v", words, err)
		}
	}
	transaction := []rueidis.Completed{c.B().Multi().Build(), c.B().Set().Key("k").Value("v").Build(), c.B().Exec().Build()}
	if err := checkSharedMulti(transaction); err != nil {
		t.Errorf("a transaction: %v", err)
	}
	if err := checkSharedMulti([]rueidis.Completed{c.B().Multi().Build(), c.B().Exec().Build()}); err != nil {
		t.Errorf("an empty transaction: %v", err)
	}
	for name, cmds := range map[string][]rueidis.Completed{
		"not ended":   {c.B().Multi().Build(), c.B().Set().Key("k").Value("v").Build()},
		"not begun":   {c.B().Set().Key("k").Value("v").Build(), c.B().Exec().Build()},
		"nested":      {c.B().Multi().Build(), c.B().Multi().Build(), c.B().Exec().Build()},
		"MULTI alone": {c.B().Multi().Build()},
		"two":         {c.B().Multi().Build(), c.B().Exec().Build(), c.B().Multi().Build(), c.B().Exec().Build()},
	} {
		if checkSharedMulti(cmds) == nil {
			t.Errorf("%s: is let through", name)
		}
	}
}
