package conn

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// A Client is safe to print also where fmt calls no methods: in an unexported
// field. What fmt follows there are the fields themselves.
func TestClientInUnexportedFieldShowsNoSecret(t *testing.T) {
	t.Parallel()
	c, err := Open(context.Background(), Config{Lazy: true, URL: "redis://app:hunter2@h:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	service := struct{ redis *Client }{c}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		text := fmt.Sprintf(verb, service) + fmt.Sprintf(verb, &service) + fmt.Sprintf(verb, []any{service})
		for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the password", verb)
			}
		}
	}
}
