// Package cache keeps typed values in Redis for a limited time.
//
//	users, err := cache.New[User](c, "user", cache.Options{TTL: time.Hour})
//	if err != nil {
//		return err
//	}
//	err = users.Set(ctx, "42", User{Name: "Ada"})
//
//	u, err := users.Get(ctx, "42")
//	switch {
//	case errors.Is(err, cache.ErrMiss):
//		// load it, and Set it
//	case err != nil:
//		// Redis did not answer, or the value is of another type
//	}
//	err = users.Delete(ctx, "42")
//
// c is a [conn.Client]; see package conn for how to open one.
//
// # What is in Redis
//
// One plain string per entry, under the key "<prefix>cache:<namespace>:<key>"
// as [conn.Client.Keyspace] makes it, always with a TTL. Strings and byte slices
// are stored as they are, every other type as JSON, so that other programs can
// read and write the entries.
//
// # What it does today
//
// Get, Set and Delete, each one round trip to Redis. There is no local copy, no
// protection against many callers loading the same missing value at once, and no
// tags: a caller that finds a miss loads the value and sets it, and a value that
// was loaded before a Delete can still be set after it.
//
// # Errors
//
// Errors name the operation and the key. Beside [ErrMiss] those of package conn
// match with errors.Is, such as [conn.ErrNotConnected] and [conn.ErrTimeout]; bad
// input is [conn.ErrInvalidArgument], and nothing is sent then.
package cache
