package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// idBytes is the entropy of an ID.
const idBytes = 32

// encoding is strict: without, the last character could be one of several for
// the same ID.
var encoding = base64.RawURLEncoding.Strict()

// ID is the secret by which a browser proves that a session is its own. IDs can
// be compared with ==. The zero ID belongs to no session.
//
// Printing an ID (fmt's verbs, JSON, text, log/slog) shows a short handle in its
// place, from which nobody can get back to the ID. Only Reveal gives it away.
type ID struct {
	// A handle, not a string: where an ID sits in somebody's unexported field,
	// fmt prints it by reflection and asks no method.
	value unique.Handle[string]
}

// newID returns a new random ID.
func newID() ID {
	b := make([]byte, idBytes)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return ID{unique.Make(encoding.EncodeToString(b))}
}

// IDFromString returns the ID that Reveal wrote, say from a cookie. A string
// that cannot be an ID gives the zero ID, for which Get returns ErrNotFound
// without asking Redis.
func IDFromString(s string) ID {
	if len(s) != encoding.EncodedLen(idBytes) {
		return ID{}
	}
	// The decoder skips line breaks; then there are fewer bytes than there should.
	if b, err := encoding.DecodeString(s); err != nil || len(b) != idBytes {
		return ID{}
	}
	return ID{unique.Make(s)}
}

// IsZero reports whether this is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// Reveal returns the secret, 43 characters of base64url: for the cookie, and for
// nothing else. It returns "" for the zero ID.
func (id ID) Reveal() string {
	if id.IsZero() {
		return ""
	}
	return id.value.Value()
}

// hash is what Redis knows of the ID.
func (id ID) hash() string {
	sum := sha256.Sum256([]byte(id.Reveal()))
	return hex.EncodeToString(sum[:])
}

// Handle returns a short text that tells sessions apart in logs: the first 12
// characters of the session's key in Redis. It returns "none" for the zero ID.
func (id ID) Handle() string {
	if id.IsZero() {
		return "none"
	}
	return id.hash()[:12]
}

// String returns what Handle returns, marked as such.
func (id ID) String() string { return "session(" + id.Handle() + ")" }

// Format prints what String returns, for every verb.
func (id ID) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, id.String()) }

// MarshalText writes what String returns, to JSON too. It cannot be read back.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// LogValue implements slog.LogValuer with what String returns.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }
