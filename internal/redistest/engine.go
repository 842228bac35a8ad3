package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// Every container carries these labels, from which a later process can tell
// whether the one that started it still lives: a process ID alone is reused, and
// means nothing after a reboot or in another PID namespace.
const (
	labelRun   = "relay.redistest.run"
	labelPID   = "relay.redistest.pid"
	labelStart = "relay.redistest.start" // in clock ticks since boot
	labelBoot  = "relay.redistest.boot"
	labelPIDNS = "relay.redistest.pidns"
)

// engine is the Docker engine, once for the process.
type engine struct {
	api    client.APIClient
	labels map[string]string

	// reaper is a shell that outlives this process by a moment, reading a pipe
	// that ends when the process does, however it does: t.Cleanup does not run
	// after a test binary's own -timeout, nor after a panic in another goroutine.
	mu         sync.Mutex
	reaper     *exec.Cmd
	reaperPipe *os.File
}

// errNoDocker is why a local process is used instead.
var errNoDocker = errors.New("no Docker engine answers")

// dockerEngine connects to the Docker engine and removes what dead processes
// left there. The outcome, also a failure, holds for the life of the process.
var dockerEngine = sync.OnceValues(func() (*engine, error) {
	// Ryuk, testcontainers' own reaper, is an image to pull and a container to
	// run; labels and the reaper here do its work. Read before the first use.
	if _, set := os.LookupEnv("TESTCONTAINERS_RYUK_DISABLED"); !set {
		if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
			return nil, err
		}
	}
	// It announces the engine at length on standard error, also in the demo.
	log.SetDefault(log.NewNoopLogger())
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	provider, err := testcontainers.ProviderDocker.GetProvider(testcontainers.WithLogger(log.NewNoopLogger()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDocker, err)
	}
	docker, ok := provider.(*testcontainers.DockerProvider)
	if !ok {
		return nil, fmt.Errorf("%w: testcontainers gave a %T", errNoDocker, provider)
	}
	e := &engine{api: docker.Client(), labels: identity()}
	defer e.idle()
	if _, err := e.api.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDocker, err)
	}
	if err := e.removeStale(ctx); err != nil {
		return nil, err
	}
	started.Store(e)
	return e, nil
})

// started is the engine once it was needed.
var started atomic.Pointer[engine]

// idle closes the connections to the engine, whose goroutines would look like a
// leak to a test that counts them.
func (e *engine) idle() { _ = e.api.Close() }

// identity returns this process's labels.
func identity() map[string]string {
	pid := strconv.Itoa(os.Getpid())
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	start := startTime(pid)
	return map[string]string{
		labelRun:   pid + "-" + start + "-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		labelPID:   pid,
		labelStart: start,
		labelBoot:  strings.TrimSpace(string(boot)),
		labelPIDNS: namespace,
	}
}

// startTime returns when a process started, or "" if there is none.
func startTime(pid string) string {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return ""
	}
	// The second field, the command, may hold spaces and parentheses.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// stale reports whether a container's process is known to be dead. One in
// another PID namespace cannot be judged from here and counts as alive.
func stale(labels, own map[string]string) bool {
	if labels[labelBoot] != own[labelBoot] {
		return true
	}
	if labels[labelPIDNS] != own[labelPIDNS] {
		return false
	}
	return startTime(labels[labelPID]) != labels[labelStart]
}

// removeStale removes the containers of processes that are dead.
func (e *engine) removeStale(ctx context.Context) error {
	return e.removeAll(ctx, labelRun, func(labels map[string]string) bool { return stale(labels, e.labels) })
}

// removeAll removes the containers with the label for which also is true.
func (e *engine) removeAll(ctx context.Context, label string, also func(map[string]string) bool) error {
	list, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", label)})
	if err != nil {
		return fmt.Errorf("redistest: list containers with label %s: %w", label, err)
	}
	var errs []error
	for _, c := range list.Items {
		if also(c.Labels) {
			errs = append(errs, e.remove(ctx, c.ID))
		}
	}
	return errors.Join(errs...)
}

// remove removes one container and its volumes; one that is gone is no error.
func (e *engine) remove(ctx context.Context, id string) error {
	_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") {
		return nil
	}
	return fmt.Errorf("redistest: remove container %.12s: %w", id, err)
}

// watch starts the reaper, once. Without a docker command there is none, and
// what a crash leaves is removed by the next process that uses this package.
func (e *engine) watch() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reaper != nil {
		return nil
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command("sh", "-c", `cat >/dev/null; ids=$(docker ps -aq --filter "label=$1"); [ -z "$ids" ] || docker rm -f -v $ids`,
		"redistest-reaper", labelRun+"="+e.labels[labelRun])
	cmd.Stdin = r
	cmd.SysProcAttr = ownSession()
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return fmt.Errorf("redistest: start the reaper: %w", err)
	}
	e.reaper, e.reaperPipe = cmd, w
	return nil
}

// shutdown removes all containers of this process and ends the reaper.
func (e *engine) shutdown(ctx context.Context) error {
	defer e.idle()
	err := e.removeAll(ctx, labelRun+"="+e.labels[labelRun], func(map[string]string) bool { return true })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reaper != nil {
		_ = e.reaperPipe.Close()
		err = errors.Join(err, e.reaper.Wait())
		e.reaper = nil
	}
	return err
}
