package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// socketMount is where a container sees the directory of its Unix socket.
const socketMount = "/socket"

// dockerRunner runs a server in a container on the host's network, so that the
// address that a server announces is the one it has for everybody, a restart
// keeps it, and a killed server refuses connections as one on the host would.
type dockerRunner struct {
	e    *engine
	spec spec
	host string // directory of the Unix socket on the host
	id   string
}

func newDockerRunner(ctx context.Context, e *engine, s spec) (runner, error) {
	image := s.version.image()
	defer e.idle()
	if _, err := e.api.ImageInspect(ctx, image); err != nil {
		if errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("redistest: there is no image %s on this machine: run scripts/images.sh", image)
		}
		return nil, fmt.Errorf("redistest: inspect image %s: %w", image, err)
	}
	r := &dockerRunner{e: e, spec: s}
	if s.socket {
		dir, err := tempDir()
		if err != nil {
			return nil, err
		}
		// The server is another user in its container.
		if err := os.Chmod(dir, 0o777); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		r.host = dir
	}
	return r, nil
}

func (r *dockerRunner) socketPaths() (server, client string) {
	return socketMount + "/redis.sock", filepath.Join(r.host, "redis.sock")
}

func (r *dockerRunner) start(ctx context.Context, files map[string][]byte) error {
	defer r.e.idle()
	if r.id != "" {
		if _, err := r.e.api.ContainerStart(ctx, r.id, client.ContainerStartOptions{}); err != nil {
			return fmt.Errorf("redistest: start container %.12s again: %w", r.id, err)
		}
		return nil
	}
	if err := r.e.watch(); err != nil {
		return err
	}
	request := testcontainers.ContainerRequest{
		Image:  r.spec.version.image(),
		Cmd:    r.spec.command(r.spec.version),
		Labels: map[string]string{},
		HostConfigModifier: func(h *container.HostConfig) {
			h.NetworkMode = "host"
			if r.host != "" {
				h.Binds = append(h.Binds, r.host+":"+socketMount)
			}
		},
	}
	for k, v := range r.e.labels {
		request.Labels[k] = v
	}
	for name, content := range files {
		request.Files = append(request.Files, testcontainers.ContainerFile{
			Reader: bytes.NewReader(content), ContainerFilePath: "/data/" + name, FileMode: 0o644,
		})
	}
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: request, Started: true, Logger: log.NewNoopLogger(),
	})
	if c != nil {
		r.id = c.GetContainerID()
	}
	if err != nil {
		return fmt.Errorf("redistest: container of %s: %w", request.Image, err)
	}
	return nil
}

func (r *dockerRunner) freeze(ctx context.Context) error {
	defer r.e.idle()
	_, err := r.e.api.ContainerPause(ctx, r.id, client.ContainerPauseOptions{})
	return err
}

func (r *dockerRunner) thaw(ctx context.Context) error {
	defer r.e.idle()
	_, err := r.e.api.ContainerUnpause(ctx, r.id, client.ContainerUnpauseOptions{})
	return err
}

// end waits until the container has ended after what signal did.
func (r *dockerRunner) end(ctx context.Context, signal func() error) error {
	defer r.e.idle()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := r.e.api.ContainerWait(ctx, r.id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if err := signal(); err != nil {
		running, inspectErr := r.running(ctx)
		cancel()
		select { // the client's goroutine has to get rid of what it found
		case <-wait.Result:
		case <-wait.Error:
		}
		if inspectErr == nil && !running {
			return nil // it was ending by itself
		}
		return err
	}
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		return err
	}
}

func (r *dockerRunner) kill(ctx context.Context) error {
	return r.end(ctx, func() error {
		_, err := r.e.api.ContainerKill(ctx, r.id, client.ContainerKillOptions{Signal: "KILL"})
		return err
	})
}

func (r *dockerRunner) stop(ctx context.Context) error {
	return r.end(ctx, func() error {
		_, err := r.e.api.ContainerKill(ctx, r.id, client.ContainerKillOptions{Signal: "TERM"})
		return err
	})
}

func (r *dockerRunner) running(ctx context.Context) (bool, error) {
	defer r.e.idle()
	got, err := r.e.api.ContainerInspect(ctx, r.id, client.ContainerInspectOptions{})
	if err != nil {
		return false, err
	}
	return got.Container.State.Running, nil
}

func (r *dockerRunner) logs(ctx context.Context) string {
	defer r.e.idle()
	out, err := r.e.api.ContainerLogs(ctx, r.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "80"})
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer out.Close() //nolint:errcheck // read only
	b, _ := io.ReadAll(out)
	return string(demultiplex(b))
}

// demultiplex takes the 8-byte headers out of the engine's log stream.
func demultiplex(b []byte) []byte {
	var text []byte
	for len(b) >= 8 {
		n := int(b[4])<<24 | int(b[5])<<16 | int(b[6])<<8 | int(b[7])
		b = b[8:]
		n = min(n, len(b))
		text, b = append(text, b[:n]...), b[n:]
	}
	return text
}

func (r *dockerRunner) remove(ctx context.Context) error {
	defer r.e.idle()
	var err error
	if r.id != "" {
		err = r.e.remove(ctx, r.id)
	}
	if r.host != "" {
		err = errors.Join(err, os.RemoveAll(r.host))
	}
	return err
}

func (r *dockerRunner) String() string { return fmt.Sprintf("container %.12s", r.id) }
