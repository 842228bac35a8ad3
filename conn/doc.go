// Package conn connects a Go service to Redis or Valkey, and keeps it safe
// when the server misbehaves. Every other module of this project (cache,
// session, ratelimit, lock, pubsub, health) stands on a [Client] of this
// package; it can also be used alone.
//
//	c, err := conn.Open(ctx, conn.Config{URL: "redis://localhost:6379"})
//	if err != nil {
//		return err // says which address, and why: errors.Is(err, conn.ErrAuth) …
//	}
//	defer c.Close(context.Background())
//
//	key := c.Keyspace("greetings").Key("world")
//	err = c.Do(ctx, c.B().Set().Key(key).Value("hello").Ex(time.Minute).Build()).Error()
//	s, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString()
//
// # Connecting
//
// A [Config] is filled in field by field, from a URL, or by [FromEnv]. It
// speaks to one server, to a primary that Sentinels watch, or to a Cluster.
// [Open] connects, and fails within the connect time-out; with Config.Lazy it
// returns at once and connects at first use. [Shared] returns one Client per
// configuration and process. One Client is meant to serve the whole process:
// it sends the commands of all goroutines over one connection per node.
//
// # Time
//
// No call hangs. A call whose context has no deadline ends within
// Config.CommandTimeout; one that has a deadline ends by that deadline, also
// when the server is frozen and thousands of calls are waiting. A deadline that
// passes costs the call, not the connection.
//
// # Failure
//
// Errors are told apart with [errors.Is] and the sentinels of this package:
// [ErrNotConnected], [ErrTimeout], [ErrAuth], [ErrReadOnly] and so on; [Retry]
// says whether trying again can help. Reads are tried again a bounded number of
// times; writes never are. A write whose reply was lost, so that nobody can
// know whether it was applied, is [ErrUnknownOutcome].
//
// [Client.State] and [Client.OnStateChange] tell how the connection is: a
// prober asks every primary once in Config.ProbeInterval, so that a dead or
// frozen server is noticed although the service is idle, and [Connected] always
// means that the server answered.
//
// # Keys
//
// Config.KeyPrefix separates the applications that share one Redis.
// [Client.Keyspace] applies it, and keeps names that users supply from
// reaching other keys: two different names never give the same key.
//
// # Scripts
//
// [NewScript] wraps a Lua script: sent by its digest, loaded when the server
// does not know it, refused before sending when its keys are not of one slot.
// [Client.Batch] sends scripts and commands together.
//
// # What the raw client does not promise
//
// [Client.Raw] hands out the rueidis client underneath, for everything that
// this package does not wrap (blocking commands, dedicated connections,
// Pub/Sub). Deadlines, errors and states as described here are promises of the
// methods of Client, not of the raw client.
package conn
