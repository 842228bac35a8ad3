package session_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/conn"
	"github.com/relay-platform/redis/session"
)

// A user logs in, comes back with the cookie, and logs out.
func Example() {
	type Data struct{ Theme string }

	ctx := context.Background()
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	c, err := conn.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	sessions, err := session.New[Data](c, session.Options{IdleTimeout: 30 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	id, _, err := sessions.Create(ctx, "user-42", Data{Theme: "dark"})
	if err != nil {
		log.Fatal(err)
	}
	cookie := id.Reveal() // the only way to the secret

	id = session.IDFromString(cookie)
	s, err := sessions.Get(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.User, s.Metadata.Theme)
	if err := sessions.Touch(ctx, id); err != nil { // the user is active
		log.Fatal(err)
	}

	if err := sessions.Delete(ctx, id); err != nil {
		log.Fatal(err)
	}
	_, err = sessions.Get(ctx, id)
	fmt.Println(errors.Is(err, session.ErrNotFound))
	// Output:
	// user-42 dark
	// true
}
