package session_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/relay-platform/redis/session"
)

const (
	someID = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	handle = "session(ea866a757e4c)" // from sha256sum
)

func TestIDFromString(t *testing.T) {
	t.Parallel()
	if got := session.IDFromString(someID).Reveal(); got != someID {
		t.Errorf("the way back gives %q", got)
	}
	for name, s := range map[string]string{
		"empty":                     "",
		"short":                     someID[1:],
		"long":                      someID + "A",
		"padded":                    someID + "=",
		"not the URL alphabet":      "+" + someID[1:],
		"a line break inside":       someID[:20] + "\n" + someID[21:],
		"31 bytes and a line break": strings.Repeat("A", 42) + "\n",
		"a line break at the end":   someID[:42] + "\n",
		"another spelling of it":    someID[:42] + "9", // the same bytes, to a decoder that is not strict
		"a key pattern":             strings.Repeat("*", 43),
		"braces":                    "{}" + someID[2:],
		"43 characters, more bytes": strings.Repeat("ä", 43),
	} {
		id := session.IDFromString(s)
		if !id.IsZero() || id != (session.ID{}) || id.Reveal() != "" {
			t.Errorf("%s: %q was taken for an ID", name, s)
		}
	}
}

// However an ID is printed, it does not show; not even where fmt goes by
// reflection and asks no method.
func TestIDDoesNotShow(t *testing.T) {
	t.Parallel()
	id := session.IDFromString(someID)
	type record struct {
		Public session.ID
		hidden session.ID
	}
	r := record{id, id}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("m", "id", id, "pointer", &id, "record", r, "map", map[session.ID]int{id: 1})
	}
	texts := map[string]string{"slog": log.String(), "String": id.String(), "Handle": id.Handle()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t", "%c", "%U", "%e", "%10.3v", "%w"} {
		for name, v := range map[string]any{"ID": id, "*ID": &id, "in a struct": r, "in a pointer": &r, "in a slice": []session.ID{id}} {
			texts[verb+" of "+name] = fmt.Sprintf(verb, v)
		}
	}
	for name, v := range map[string]any{"ID": id, "in a struct": r, "as a key": map[session.ID]int{id: 1}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		texts["JSON of "+name] = string(b)
	}
	b, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"x"`
		ID      session.ID
	}{ID: id})
	if err != nil {
		t.Error(err)
	}
	texts["XML"] = string(b)
	for name, text := range texts {
		if strings.Contains(text, someID[:8]) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", someID[:4])) {
			t.Errorf("%s shows the ID: %s", name, text)
		}
	}
	if id.String() != handle || texts["%d of ID"] != handle || texts["JSON of ID"] != `"`+handle+`"` {
		t.Errorf("the handle is %s, and as %%d %s, as JSON %s; not %s", id, texts["%d of ID"], texts["JSON of ID"], handle)
	}
	if zero := fmt.Sprint(session.ID{}); zero != "session(none)" {
		t.Errorf("the zero ID prints %s", zero)
	}
}
