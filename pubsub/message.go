package pubsub

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Message is what a handler gets.
type Message[T any] struct {
	ID            string    // random, made by Publish
	Type          string    // what kind of message it is; see WithType
	Source        string    // Options.Source of the publisher
	Time          time.Time // when it was published, by the publisher's clock
	CorrelationID string    // what it belongs to; empty where the publisher gave none
	Channel       string    // as given to Subscribe
	Payload       T
}

// envelope is a message on its way. The names are those of CloudEvents where
// that has one.
type envelope struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Source        string          `json:"source,omitempty"`
	Time          time.Time       `json:"time"`
	CorrelationID string          `json:"correlation_id,omitempty"`
	Payload       json.RawMessage `json:"payload"`
}

// PublishOption changes one message.
type PublishOption func(*envelope)

// WithType sets the message's type, such as "order.created". Without it, it is
// the name of the payload's Go type, such as "shop.Order".
func WithType(name string) PublishOption { return func(e *envelope) { e.Type = name } }

// WithCorrelationID says what the message belongs to, such as the ID of a
// request or of the message that it answers.
func WithCorrelationID(id string) PublishOption { return func(e *envelope) { e.CorrelationID = id } }

// seal makes a message and returns its ID and text.
func seal[T any](source string, payload T, opts []PublishOption) (id, text string, err error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return "", "", err
	}
	e := envelope{ID: rand.Text(), Type: reflect.TypeFor[T]().String(), Source: source, Time: time.Now().UTC(), Payload: raw}
	for _, o := range opts {
		o(&e)
	}
	b, err := json.Marshal(e)
	return e.ID, string(b), err
}

// open reads what seal wrote.
func open[T any](channel, text string) (Message[T], error) {
	var e envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Message[T]{}, fmt.Errorf("a message is not of this package: %w", err)
	}
	if e.ID == "" || e.Payload == nil {
		return Message[T]{}, fmt.Errorf("a message is not of this package: it has no id or no payload")
	}
	m := Message[T]{ID: e.ID, Type: e.Type, Source: e.Source, Time: e.Time, CorrelationID: e.CorrelationID, Channel: channel}
	if err := json.Unmarshal(e.Payload, &m.Payload); err != nil {
		return Message[T]{}, fmt.Errorf("message %s of type %q from %q is no %v: %w", quote(e.ID), e.Type, e.Source, reflect.TypeFor[T](), err)
	}
	return m, nil
}
