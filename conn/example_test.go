package conn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-platform/redis/conn"
)

// open connects to the server of the environment, for the examples.
func open() *conn.Client {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	c, err := conn.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// Connect, use, close. In a service, the Config comes from FromEnv or from its
// own configuration.
func ExampleOpen() {
	ctx := context.Background()
	cfg, err := conn.FromEnv() // or conn.Config{URL: "redis://:password@localhost:6379"}
	if err != nil {
		log.Fatal(err)
	}
	c, err := conn.Open(ctx, cfg)
	switch {
	case errors.Is(err, conn.ErrAuth):
		log.Fatal("check the password: ", err)
	case err != nil:
		log.Fatal(err) // says which address, and why
	}
	defer c.Close(ctx)

	key := c.Keyspace("example-open").Key("world")
	err = c.Do(ctx, c.B().Set().Key(key).Value("hello").Ex(time.Minute).Build()).Error()
	if err != nil {
		log.Fatal(err)
	}
	s, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s, c.State())
	// Output: hello connected
}

// REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD and so on, say where
// Redis is; what is left out has its default.
func ExampleFromEnv() {
	cfg, err := conn.FromEnv()
	if err != nil {
		log.Fatal(err) // names the variable, and shows no password
	}
	cfg.ClientName = "example"
	c, err := conn.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(context.Background())
	fmt.Println(c.State())
	// Output: connected
}

// However a Config is printed, its secrets are not.
func ExampleConfig_String() {
	cfg := conn.Config{URL: "rediss://app:secret@redis.example/2", KeyPrefix: "shop:"}
	fmt.Println(cfg)
	fmt.Printf("%+v\n", cfg)
	// Output:
	// conn.Config{standalone redis.example:6379 db=2 prefix="shop:" tls=true auth=true}
	// conn.Config{standalone redis.example:6379 db=2 prefix="shop:" tls=true auth=true}
}

// Names that users supply cannot reach other keys.
func ExampleKeyspace() {
	var app conn.Keyspace // c.Keyspace() has Config.KeyPrefix
	users := app.Sub("users")

	fmt.Println(users.Key("42"))
	fmt.Println(users.Key("{42}"))
	fmt.Println(users.Key("a:b", "c"), users.Key("a", "b:c"))

	// Keys of one group share a cluster slot: a script may use them together.
	fmt.Println(users.Tagged("42", "cart"), users.Tagged("42", "orders"))
	fmt.Println(conn.SameSlot(users.Tagged("42", "cart"), users.Tagged("42", "orders")))

	name, ok := users.Name("users:%7B42%7D")
	fmt.Println(name, ok)
	// Output:
	// users:42
	// users:%7B42%7D
	// users:a%3Ab:c users:a:b:c
	// users:{42}:cart users:{42}:orders
	// true
	// {42} true
}
