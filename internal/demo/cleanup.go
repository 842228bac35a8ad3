package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/relay-platform/redis/conn"
)

// cleanUp removes every key of this run, closes the connection, stops the server
// if the demo started it, and says so.
func (d *demo) cleanUp(ctx context.Context) (string, error) {
	var errs []error
	deleted := 0
	if d.c != nil {
		if d.server.fromEnv { // else they go with the server
			var err error
			if deleted, err = deleteAll(ctx, d.c); err != nil {
				errs = append(errs, fmt.Errorf("remove the keys that begin with %s: %w", d.server.cfg.KeyPrefix, err))
			}
		}
		errs = append(errs, d.c.Close(ctx))
	}
	errs = append(errs, d.server.stop())
	if d.server.fromEnv {
		return fmt.Sprintf("The demo's keys are removed again (%d).", deleted), errors.Join(errs...)
	}
	return "The server is stopped.", errors.Join(errs...)
}

// deleteAll deletes the keys under the Client's prefix, on every node, and
// returns how many there were.
func deleteAll(ctx context.Context, c *conn.Client) (int, error) {
	raw, err := c.Raw(ctx)
	if err != nil {
		return 0, err
	}
	pattern := c.Keyspace().Pattern("*")
	seen := map[string]bool{} // a replica names them again
	for _, node := range raw.Nodes() {
		for cursor := uint64(0); ; {
			page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(pattern).Count(1000).Build()).AsScanEntry()
			if err != nil {
				return len(seen), err
			}
			for _, key := range page.Elements {
				if err := c.Do(ctx, c.B().Unlink().Key(key).Build()).Error(); err != nil {
					return len(seen), err
				}
				seen[key] = true
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
	}
	return len(seen), nil
}
