package main

import (
	"errors"

	"github.com/relay-platform/redis/conn"
)

// hint says what a newcomer can do about an error.
func hint(err error, s *server) string {
	const orNone = " Or unset REDIS_URL: the demo then starts a Redis of its own."
	if errors.Is(err, errHalfEnv) {
		return "set REDIS_URL to your server (redis://user:password@host:6379/0), or unset the other variable: the demo then starts a Redis of its own."
	}
	if s != nil && !s.fromEnv {
		return "this should not happen on a server that the demo has started. Please report it with the text above."
	}
	for _, h := range []struct {
		kind error
		text string
	}{
		{conn.ErrInvalidArgument, "correct the variable that is named above; an example is REDIS_URL=redis://localhost:6379." + orNone},
		{conn.ErrRefused, "start your Redis, or correct host and port in REDIS_URL: nothing listens there." + orNone},
		{conn.ErrDNS, "correct the host name in REDIS_URL." + orNone},
		{conn.ErrAuth, "give user name and password in REDIS_URL: redis://user:password@host:6379." + orNone},
		{conn.ErrPermission, "give the user the right to the commands and keys of the demo, or use another user." + orNone},
		{conn.ErrTLS, "check whether the server speaks TLS (rediss://) or not (redis://), and whether this machine trusts its certificate." + orNone},
		{conn.ErrWrongMode, "say what kind of server it is: add ?mode=cluster, or ?master_set=NAME for Sentinels, to REDIS_URL." + orNone},
		{conn.ErrOutOfMemory, "the server's memory is full: raise maxmemory, or use another server." + orNone},
		{conn.ErrReadOnly, "REDIS_URL names a replica: name the primary." + orNone},
		{conn.ErrTimeout, "check whether host and port in REDIS_URL are those of a Redis, and whether a firewall is in between." + orNone},
		{conn.ErrNotConnected, "check whether your Redis runs where REDIS_URL says." + orNone},
	} {
		if errors.Is(err, h.kind) {
			return h.text
		}
	}
	return ""
}
