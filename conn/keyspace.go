package conn

import (
	"fmt"
	"strings"
)

// maxPrefix and MaxKey bound what becomes of names that users supply.
const (
	maxPrefix = 1 << 10
	// MaxKey is the longest key or channel that CheckName lets through, in
	// bytes.
	MaxKey = 64 << 10
)

// Keyspace makes the keys and channels of one capability or application:
// Config.KeyPrefix, the segments that it was made with, then the name.
//
// It is injective: two different names with the same number of parts, in two
// Keyspaces with the same number of segments, never give the same key, and Key
// and Tagged never give the same key at all. For that, the characters '%', '{'
// and '}' of a name become %25, %7B and %7D, and so does ':' (%3A) in every
// segment and in every part of a name but the last; other bytes stay as they
// are, so that keys are readable and other programs can find them. As no name
// can bring a brace, only Tagged decides what cluster slot a key belongs to.
//
// The zero Keyspace has no prefix. A Keyspace is immutable.
type Keyspace struct{ prefix string }

// Keyspace returns the Keyspace with the given segments under
// Config.KeyPrefix: with the prefix "app:", Keyspace("cache", "user") makes keys
// that begin with "app:cache:user:".
func (c *Client) Keyspace(segments ...string) Keyspace {
	return Keyspace{prefix: c.cfg.KeyPrefix}.Sub(segments...)
}

// Sub returns the Keyspace with further segments.
func (k Keyspace) Sub(segments ...string) Keyspace {
	var b strings.Builder
	b.WriteString(k.prefix)
	for _, s := range segments {
		escape(&b, s, true)
		b.WriteByte(':')
	}
	return Keyspace{prefix: b.String()}
}

// Prefix returns what every key begins with.
func (k Keyspace) Prefix() string { return k.prefix }

// Key returns the key of a name that has one or more parts. Parts are set
// apart by ':', so Key("a:b", "c") and Key("a", "b:c") differ.
func (k Keyspace) Key(parts ...string) string {
	if len(parts) == 1 && !needsEscape(parts[0]) {
		return k.prefix + parts[0] // the usual case: one allocation
	}
	var b strings.Builder
	b.WriteString(k.prefix)
	writeParts(&b, parts)
	return b.String()
}

// Tagged returns the key of a name within a group: the keys of one group share
// a cluster slot, so that one script may use them all. With the group "42" and
// the part "index" it ends in "{42}:index".
func (k Keyspace) Tagged(group string, parts ...string) string {
	var b strings.Builder
	b.WriteString(k.prefix)
	b.WriteByte('{')
	if group == "" {
		b.WriteByte('%') // "{}" is no hash tag; no escaped name is a lone %
	}
	escape(&b, group, false)
	b.WriteByte('}')
	if len(parts) > 0 {
		b.WriteByte(':')
		writeParts(&b, parts)
	}
	return b.String()
}

// Name is the inverse of Key for names of one part: it reports false for a key
// that is not of this Keyspace.
func (k Keyspace) Name(key string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return "", false
	}
	return unescape(rest)
}

// Pattern returns the pattern for SCAN and PSUBSCRIBE that matches the keys of
// the names that match glob. In glob '*', '?', '[…]' and '\' have their usual
// meaning; nothing in it reaches beyond the Keyspace, and what the prefix holds
// of these characters is taken literally. It is matched against escaped names:
// '?' and classes see "%7B" where the name has '{'; write '{', '}' and '%' outside
// of classes, where they stand for themselves.
func (k Keyspace) Pattern(glob string) string {
	var b strings.Builder
	for i := range len(k.prefix) {
		if strings.IndexByte(`*?[]\`, k.prefix[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(k.prefix[i])
	}
	escape(&b, glob, false)
	return b.String()
}

// CheckName returns an *ArgumentError that names the argument if a name is
// empty, or longer than MaxKey leaves room for.
func CheckName(argument, name string) error {
	switch {
	case name == "":
		return &ArgumentError{Name: argument, Problem: "is empty"}
	case len(name) > MaxKey-maxPrefix:
		return &ArgumentError{Name: argument, Problem: fmt.Sprintf("is %d bytes long, more than %d", len(name), MaxKey-maxPrefix)}
	}
	return nil
}

func writeParts(b *strings.Builder, parts []string) {
	for i, p := range parts {
		last := i == len(parts)-1
		escape(b, p, !last)
		if !last {
			b.WriteByte(':')
		}
	}
}

func needsEscape(s string) bool { return strings.ContainsAny(s, "%{}") }

// escape percent-encodes what a name must not bring into a key.
func escape(b *strings.Builder, s string, colon bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			b.WriteString("%25")
		case c == '{':
			b.WriteString("%7B")
		case c == '}':
			b.WriteString("%7D")
		case c == ':' && colon:
			b.WriteString("%3A")
		default:
			b.WriteByte(c)
		}
	}
}

var unescaper = strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}")

// unescape reverts escape for the last part of a name, and refuses what escape
// does not produce there: a %3A is of a key of several parts.
func unescape(s string) (string, bool) {
	if strings.ContainsAny(s, "{}") {
		return "", false
	}
	for rest := s; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			return unescaper.Replace(s), true
		}
		if len(rest) < i+3 {
			return "", false
		}
		switch rest[i : i+3] {
		case "%25", "%7B", "%7D":
			rest = rest[i+3:]
		default:
			return "", false
		}
	}
}
