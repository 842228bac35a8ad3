package conn

import (
	"fmt"
	"path"
	"strings"
	"testing"
)

// hostile are names as no program means them, and users send them.
var hostile = []string{
	"", "a", "b", "ab", ":", "::", "a:", ":a", "a:b", "a::b", "%", "%%", "%3A", "%3a", "%25", "%253A", "{", "}", "{}", "{a}", "}{", "a{b}c", "{{a}}",
	"%7B", "%7D", "%7Ba%7D", "\x00", "a\x00b", "\n", "é", "\xff", "\xfe", "*", "?", "[a]", `\`, "^", "-", " ", "{a}:b", "a:{b}", "%:", ":%", "{%}", "{%}:",
	strings.Repeat("x", 300),
}

func keyspace(segments ...string) Keyspace { return Keyspace{prefix: "app:"}.Sub(segments...) }

func TestKeys(t *testing.T) {
	k := keyspace("cache", "user")
	for _, tc := range []struct{ got, want string }{
		{k.Prefix(), "app:cache:user:"},
		{k.Key("42"), "app:cache:user:42"},
		{k.Key("a:b"), "app:cache:user:a:b"},
		{k.Key("a", "b"), "app:cache:user:a:b"},
		{k.Key("a:b", "c"), "app:cache:user:a%3Ab:c"},
		{k.Key("a", "b:c"), "app:cache:user:a:b:c"},
		{k.Key("{x}%"), "app:cache:user:%7Bx%7D%25"},
		{k.Key(""), "app:cache:user:"},
		{k.Key(), "app:cache:user:"},
		{k.Tagged("42"), "app:cache:user:{42}"},
		{k.Tagged("42", "index"), "app:cache:user:{42}:index"},
		{k.Tagged("a:b", "c:d", "e:f"), "app:cache:user:{a:b}:c%3Ad:e:f"},
		{k.Tagged("{}", "{}"), "app:cache:user:{%7B%7D}:%7B%7D"},
		{k.Tagged(""), "app:cache:user:{%}"},
		{k.Tagged("", ""), "app:cache:user:{%}:"},
		{Keyspace{}.Key("k"), "k"},
		{Keyspace{}.Sub("a:b", "{c}").Key("k"), "a%3Ab:%7Bc%7D:k"},
		{keyspace("s").Sub("t").Key("k"), "app:s:t:k"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
	c := lazy(t, Config{KeyPrefix: "myapp:"})
	if got := c.Keyspace("s").Key("k"); got != "myapp:s:k" {
		t.Errorf("a Client's key is %q", got)
	}
	if got := c.Keyspace().Key("k"); got != "myapp:k" {
		t.Errorf("a key without segments is %q", got)
	}
}

// No two names of the same arity, in Keyspaces of the same depth, plain or
// tagged, give the same key.
func TestKeysAreInjective(t *testing.T) {
	type origin struct{ how string }
	for depth := range 3 {
		for arity := 1; arity <= 2; arity++ {
			seen := map[string]origin{}
			add := func(key, how string) {
				if o, ok := seen[key]; ok && o.how != how {
					t.Fatalf("%q is the key of %s and of %s", key, o.how, how)
				}
				seen[key] = origin{how}
			}
			for i, s := range hostile {
				if i%4 != depth { // a quarter of the segments each, for time's sake: the fuzz test has them all
					continue
				}
				k := keyspace([]string{s, "x:" + s}[:depth]...)
				if depth == 0 && s != "" {
					break // there is no segment
				}
				for _, a := range hostile {
					add(k.Tagged(a), fmt.Sprintf("%d %q tagged %q", depth, s, a)) // no parts
					for _, b := range hostile {
						if arity == 1 {
							if b == "" {
								add(k.Key(a), fmt.Sprintf("%d %q key %q", depth, s, a))
							}
							add(k.Tagged(a, b), fmt.Sprintf("%d %q tagged %q %q", depth, s, a, b))
						} else {
							add(k.Key(a, b), fmt.Sprintf("%d %q key %q %q", depth, s, a, b))
							add(k.Tagged("g", a, b), fmt.Sprintf("%d %q tagged g %q %q", depth, s, a, b))
						}
					}
				}
			}
		}
	}
}

func FuzzKeysAreInjective(f *testing.F) {
	for _, a := range hostile {
		f.Add(a, "b", "c", "a", "b:", "c")
		f.Add("a", a, "b", "a", "", a)
		f.Add(a, a, a, "%", ":", "}")
	}
	f.Fuzz(func(t *testing.T, s1, a1, b1, s2, a2, b2 string) {
		k1, k2 := keyspace(s1), keyspace(s2)
		same := s1 == s2 && a1 == a2 && b1 == b2
		if (k1.Key(a1, b1) == k2.Key(a2, b2)) != same {
			t.Errorf("%q %q %q and %q %q %q: Key is %q and %q", s1, a1, b1, s2, a2, b2, k1.Key(a1, b1), k2.Key(a2, b2))
		}
		if (k1.Tagged(a1, b1) == k2.Tagged(a2, b2)) != same {
			t.Errorf("%q %q %q and %q %q %q: Tagged is %q and %q", s1, a1, b1, s2, a2, b2, k1.Tagged(a1, b1), k2.Tagged(a2, b2))
		}
		if same1 := s1 == s2 && a1 == a2; (k1.Key(a1) == k2.Key(a2)) != same1 || (k1.Tagged(a1) == k2.Tagged(a2)) != same1 {
			t.Errorf("%q %q and %q %q", s1, a1, s2, a2)
		}
		for _, plain := range []string{k1.Key(a1), k1.Key(a1, b1)} {
			if plain == k2.Tagged(a2) || plain == k2.Tagged(a2, b2) || strings.ContainsAny(plain, "{}") {
				t.Errorf("the plain key %q", plain)
			}
		}
		// A group decides the slot, and nothing else does.
		if !SameSlot(k1.Tagged(a1), k1.Tagged(a1, b1), k1.Tagged(a1, b2, b1), k1.Tagged(a1, a2), k2.Tagged(a1, s2)) {
			t.Errorf("the keys of group %q are of different slots", a1)
		}
		// Name is the inverse of Key, and of nothing else.
		if name, ok := k1.Name(k1.Key(a1)); !ok || name != a1 {
			t.Errorf("Name(Key(%q)) is %q, %t", a1, name, ok)
		}
		for _, key := range []string{a1, b1, k1.Prefix() + a1, k1.Key(a1, b1), k2.Key(a2), k1.Tagged(a1), k1.Tagged(a1, b1)} {
			if name, ok := k1.Name(key); ok && k1.Key(name) != key {
				t.Errorf("Name(%q) is %q, whose key is %q", key, name, k1.Key(name))
			}
		}
	})
}

func TestName(t *testing.T) {
	k := keyspace("s")
	for _, name := range hostile {
		if got, ok := k.Name(k.Key(name)); !ok || got != name {
			t.Errorf("Name(Key(%q)) is %q, %t", name, got, ok)
		}
		if got, ok := k.Name(k.Tagged(name)); ok {
			t.Errorf("the key of group %q has the name %q", name, got)
		}
	}
	for _, key := range []string{
		"", "app:", "app:t:a", "other", "app:s", "app:s:{a}", "app:s:a}", "app:s:%", "app:s:%2", "app:s:a%2", "app:s:%41", "app:s:%7b",
		k.Key("a:b", "c"), // of two parts, which no name of one part gives
	} {
		if got, ok := k.Name(key); ok {
			t.Errorf("%q has the name %q", key, got)
		}
	}
}

// What a prefix holds of a pattern's characters is taken literally, and no glob
// reaches beyond the Keyspace.
func TestPattern(t *testing.T) {
	if got, want := keyspace("u").Pattern("*"), "app:u:*"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (Keyspace{prefix: `a*b?c[d]e\:`}).Pattern("x?[ab]*"), `a\*b\?c\[d\]e\\:x?[ab]*`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := keyspace("u").Pattern("{a}%*"), "app:u:%7Ba%7D%25*"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// path.Match agrees with Redis on these characters, where there is no '/'.
	for _, prefix := range hostile {
		if strings.ContainsAny(prefix, "\xff\xfe") {
			continue // path.Match is about runes, Redis about bytes
		}
		k := Keyspace{prefix: "p" + prefix + ":"}
		for _, name := range []string{"a", "ab", "b", "{a}", "a%", "a:b"} {
			for glob, want := range map[string]bool{"*": true, "a*": name[0] == 'a', "{*": name[0] == '{', "*%": strings.HasSuffix(name, "%")} {
				ok, err := path.Match(k.Pattern(glob), k.Key(name))
				if err != nil || ok != want {
					t.Errorf("prefix %q, glob %q, name %q: match %t: %v", prefix, glob, name, ok, err)
				}
			}
			for _, other := range []string{"q" + prefix + ":a", "p" + prefix, "p", "px:" + name, "p" + prefix + "x:a"} {
				if ok, _ := path.Match(k.Pattern("*"), other); ok && !strings.HasPrefix(other, k.prefix) {
					t.Errorf("prefix %q: the pattern %q matches %q", prefix, k.Pattern("*"), other)
				}
			}
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"": false, "a": true, "\x00": true, strings.Repeat("a", MaxKey-maxPrefix): true, strings.Repeat("a", MaxKey-maxPrefix+1): false} {
		switch err := CheckName("id", name); {
		case ok && err != nil:
			t.Errorf("%d bytes: %v", len(name), err)
		case !ok:
			wantArgument(t, err, "id")
			if len(err.Error()) > 100 {
				t.Errorf("the error shows the name: %.100s…", err)
			}
		}
	}
}

// One allocation for the usual key, as a key is made for every call.
func TestKeyAllocations(t *testing.T) {
	k, sink := keyspace("cache", "user"), ""
	if n := testing.AllocsPerRun(100, func() { sink = k.Key("42") }); n > 1 {
		t.Errorf("%v allocations for %q", n, sink)
	}
}
