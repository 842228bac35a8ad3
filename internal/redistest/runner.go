package redistest

import (
	"context"
	"errors"
	"fmt"
)

// A spec is what a runner needs to know of the server it runs.
type spec struct {
	version       Version
	strictVersion bool // no other version will do
	sentinel      bool
	socket        bool
}

// configFile is the server's configuration, in its working directory. A file
// and not arguments: Sentinels insist on one, and what a failover made of a
// server (CONFIG REWRITE) survives its restart as it does in production.
const configFile = "redis.conf"

// command returns what runs the server, first the binary's name. For an image
// only its family matters.
func (s spec) command(v Version) []string {
	family, _ := v.split()
	if family == "" {
		family = "redis"
	}
	command := []string{family + "-server", configFile}
	if s.sentinel {
		command = append(command, "--sentinel")
	}
	return command
}

// A runner runs one server: in a container, or as a process of this machine.
// Not safe for concurrent use; [Server] sees to that.
type runner interface {
	fmt.Stringer

	// start starts the server, also again after kill or stop, with the data it
	// had; files, by name, are put into its working directory at the first.
	start(ctx context.Context, files map[string][]byte) error

	freeze(ctx context.Context) error
	thaw(ctx context.Context) error

	// kill and stop return when the server has ended.
	kill(ctx context.Context) error
	stop(ctx context.Context) error

	running(ctx context.Context) (bool, error)
	logs(ctx context.Context) string

	// socketPaths returns the Unix socket's path as the server and its clients
	// see it.
	socketPaths() (server, client string)

	// remove removes the server in any state, and its data.
	remove(ctx context.Context) error
}

var (
	_ runner = (*dockerRunner)(nil)
	_ runner = (*processRunner)(nil)
)

// newRunner chooses: a container where a Docker engine answers, else a process.
func newRunner(ctx context.Context, s spec) (runner, error) {
	if s.version == Local {
		return newProcessRunner(ctx, s)
	}
	e, err := dockerEngine()
	if err == nil {
		return newDockerRunner(ctx, e, s)
	}
	if !errors.Is(err, errNoDocker) {
		return nil, err
	}
	r, processErr := newProcessRunner(ctx, s)
	if processErr != nil {
		return nil, fmt.Errorf("%w (%w)", processErr, err)
	}
	return r, nil
}
