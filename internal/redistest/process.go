package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// processRunner runs a server as a process of this machine.
type processRunner struct {
	spec   spec
	binary string
	dir    string

	mu   sync.Mutex
	out  bytes.Buffer
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Write collects the server's log.
func (r *processRunner) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(b)
}

// newProcessRunner finds the server's binary, and refuses one that is not the
// version asked for.
func newProcessRunner(ctx context.Context, s spec) (runner, error) {
	family, release := s.version.split()
	names := []string{"redis-server", "valkey-server"}
	if family != "" {
		names = []string{family + "-server"}
	}
	var binary string
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		return nil, fmt.Errorf("redistest: no %s in PATH: run scripts/images.sh --local, or start a Docker engine and run scripts/images.sh", strings.Join(names, " or "))
	}
	text, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("redistest: %s --version: %w", binary, err)
	}
	// The default version is a wish; one that the environment or the caller
	// named is an order.
	if release != "" && s.strictVersion && !strings.Contains(string(text), "v="+release+".") {
		return nil, fmt.Errorf("redistest: %s is %q, not %s: install that version, or set %s=%s", binary, bytes.TrimSpace(text), s.version, EnvServer, Local)
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	return &processRunner{spec: s, binary: binary, dir: dir}, nil
}

func (r *processRunner) socketPaths() (server, client string) {
	path := filepath.Join(r.dir, "redis.sock")
	return path, path
}

func (r *processRunner) start(_ context.Context, files map[string][]byte) error {
	if r.cmd == nil {
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o600); err != nil {
				return err
			}
		}
	}
	cmd := exec.Command(r.binary, r.spec.command(r.spec.version)[1:]...)
	cmd.Dir = r.dir
	cmd.Stdout, cmd.Stderr = r, r
	// A dead test leaves no server: Linux kills it with its parent, which to the
	// kernel is the thread that started it. So that thread is held for as long as
	// the server runs.
	cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		<-done
		return fmt.Errorf("redistest: start %s: %w", r.binary, err)
	}
	r.cmd, r.done = cmd, done
	return nil
}

func (r *processRunner) freeze(context.Context) error { return r.cmd.Process.Signal(syscall.SIGSTOP) }

func (r *processRunner) thaw(context.Context) error { return r.cmd.Process.Signal(syscall.SIGCONT) }

func (r *processRunner) kill(ctx context.Context) error { return r.end(ctx, syscall.SIGKILL) }
func (r *processRunner) stop(ctx context.Context) error { return r.end(ctx, syscall.SIGTERM) }

func (r *processRunner) end(ctx context.Context, s syscall.Signal) error {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *processRunner) running(context.Context) (bool, error) {
	select {
	case <-r.done:
		return false, nil
	default:
		return true, nil
	}
}

func (r *processRunner) logs(context.Context) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.out.Bytes()[max(0, r.out.Len()-8<<10):])
}

func (r *processRunner) remove(ctx context.Context) error {
	var err error
	if r.cmd != nil {
		err = r.kill(ctx)
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

func (r *processRunner) String() string {
	if r.cmd == nil {
		return r.binary
	}
	return fmt.Sprintf("%s (process %d)", r.binary, r.cmd.Process.Pid)
}
