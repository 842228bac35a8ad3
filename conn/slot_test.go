package conn

import (
	"slices"
	"strings"
	"testing"
)

// Source of the vectors: the cluster specification
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/)
// and CLUSTER KEYSLOT of Redis 8.
func TestSlot(t *testing.T) {
	for key, want := range map[string]int{
		"123456789":            0x31C3,
		"":                     0,
		"foo":                  12182,
		"bar":                  5061,
		"{foo}":                12182,
		"a{foo}b":              12182,
		"{foo}{bar}":           12182, // the first tag
		"foo{bar":              Slot("foo{bar"),
		"{user1000}.following": Slot("user1000"),
		"{user1000}.followers": Slot("user1000"),
		"foo{{bar}}zap":        Slot("{bar"), // up to the first }
		"foo{bar}{zap}":        5061,
		"a}b{foo}":             12182, // a } before the { does not count
	} {
		if got := Slot(key); got != want {
			t.Errorf("the slot of %q is %d, want %d", key, got, want)
		}
	}
	// An empty tag, or an open one, is none: the whole key counts.
	for _, key := range []string{"foo{}{bar}", "{}", "{}foo", "{", "}", "foo{bar", "foo}bar{"} {
		if got, want := Slot(key), crc16(key)%16384; got != want {
			t.Errorf("the slot of %q is %d, want %d", key, got, want)
		}
	}
	for _, key := range hostile {
		if s := Slot(key); s < 0 || s > 16383 {
			t.Errorf("the slot of %q is %d", key, s)
		}
	}
}

// crc16 computes CRC16/XMODEM bit by bit, as its definition says.
func crc16(s string) int {
	crc := 0
	for i := range len(s) {
		for bit := 7; bit >= 0; bit-- {
			top := crc >> 15 & 1
			crc = crc << 1 & 0xFFFF
			if top != int(s[i])>>bit&1 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

func FuzzSlot(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		want := key
		if _, after, ok := strings.Cut(key, "{"); ok {
			if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
				want = tag
			}
		}
		if got := Slot(key); got != crc16(want)%16384 {
			t.Errorf("the slot of %q is %d, not that of %q", key, got, want)
		}
	})
}

func TestSameSlot(t *testing.T) {
	for _, tc := range []struct {
		keys string
		want bool
	}{
		{"", true},
		{"a", true},
		{"a a", true},
		{"foo bar", false},
		{"{a}x {a}y {a}", true},
		{"{a}x {a}y {b}", false},
		{"foo {foo}bar x{foo}", true},
		{"{a}x {b}x {a}x", false},
	} {
		keys := strings.Fields(tc.keys)
		if got := SameSlot(keys...); got != tc.want {
			t.Errorf("%q: %t", keys, got)
		}
		slices.Reverse(keys)
		if got := SameSlot(keys...); got != tc.want {
			t.Errorf("%q: %t", keys, got)
		}
	}
}
