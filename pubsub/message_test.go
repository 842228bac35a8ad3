package pubsub

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

type order struct{ Number int }

// The envelope is what other programs see: its names are a promise.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	id, text, err := seal("shop", order{42}, []PublishOption{WithType("order.created"), WithCorrelationID("req-1")})
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(raw)); !slices.Equal(names, []string{"correlation_id", "id", "payload", "source", "time", "type"}) {
		t.Errorf("the envelope has %v", names)
	}
	m, err := open[order]("orders", text)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(m.Time); age < 0 || age > time.Minute {
		t.Errorf("the message is %v old", age)
	}
	m.Time = time.Time{}
	if want := (Message[order]{ID: id, Type: "order.created", Source: "shop", CorrelationID: "req-1", Channel: "orders", Payload: order{42}}); m != want {
		t.Errorf("got %+v, not %+v", m, want)
	}

	// What nobody gave is left out, and the type is the payload's.
	other, text, err := seal("", order{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "source") || strings.Contains(text, "correlation") || !strings.Contains(text, `"type":"pubsub.order"`) {
		t.Errorf("the envelope is %s", text)
	}
	if other == id {
		t.Error("two messages have one ID")
	}
}

func TestOpenRefusesForeignMessages(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON":    "hello",
		"no object":  "42",
		"no id":      `{"payload":{}}`,
		"no payload": `{"id":"1"}`,
		"other type": `{"id":"1","payload":"text"}`,
	} {
		if m, err := open[order]("orders", text); err == nil || m != (Message[order]{}) {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
}
