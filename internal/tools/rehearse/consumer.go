package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// commandTimeout bounds each command: a first download at worst. A program of
// the rehearsal waits for no server, and ends at once.
const commandTimeout = 5 * time.Minute

// consumer is a user of the published modules, with a module cache of its own.
type consumer struct {
	root     string // of the repository
	tmp      string
	modcache string
	env      []string
}

// newConsumer sets up a user whose go command finds our modules in the folder
// proxy, and all others where it always does: first in what this machine has
// downloaded before, so that a rehearsal costs no download twice.
func newConsumer(root, tmp, proxy string) (*consumer, error) {
	c := &consumer{root: root, tmp: tmp, modcache: filepath.Join(tmp, "modcache")}
	out, err := command(root, os.Environ(), "go", "env", "GOPROXY", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	settings := strings.Split(strings.TrimSpace(out), "\n")
	if len(settings) != 2 {
		return nil, fmt.Errorf("go env GOPROXY GOMODCACHE printed %q", out)
	}
	download := filepath.Join(settings[1], "cache", "download")
	proxies := []string{"file://" + filepath.ToSlash(proxy)}
	if _, err := os.Stat(download); err == nil {
		proxies = append(proxies, "file://"+filepath.ToSlash(download))
	}
	proxies = append(proxies, settings[0])

	c.env = append(withoutRedis(os.Environ()),
		"GOPROXY="+strings.Join(proxies, ","),
		"GOMODCACHE="+c.modcache,
		// Ours are in no checksum database yet, and not private to the machine.
		"GOPRIVATE=", "GONOPROXY=none", "GONOSUMDB=github.com/relay-platform/redis",
		// -modcacherw lets the cache be deleted again; -trimpath makes its
		// changing place no part of a build, so that the build cache serves.
		"GOFLAGS=-modcacherw -trimpath",
		"GOWORK=off", "GO111MODULE=on",
	)
	return c, nil
}

// withoutRedis leaves out what would point a program at somebody's server.
func withoutRedis(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "REDIS_") })
}

// use gets r into a blank module, compiles r's program there, runs it, and
// compares what came along with the golden graph.
func (c *consumer) use(r release, accept bool) error {
	dir := filepath.Join(c.tmp, "user-"+strings.ReplaceAll(r.folder, "/", "-"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	source, err := os.ReadFile(filepath.Join(c.root, "scripts", "rehearsal", r.folder, "main.go"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), source, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"go", "mod", "init", "example.com/user"},
		{"go", "get", r.Path + "@" + r.Version.Version},
		{"go", "vet", "."},
		{"go", "build", "-o", "program", "."},
	} {
		if _, err := command(dir, c.env, args...); err != nil {
			return err
		}
	}
	if err := c.checkLicense(r); err != nil {
		return err
	}
	out, err := command(dir, c.env, filepath.Join(dir, "program"))
	if err != nil {
		return err
	}
	fmt.Print(indent(out))

	g, err := c.graph(dir)
	if err != nil {
		return err
	}
	return g.compare(filepath.Join(c.root, "scripts", "rehearsal", r.folder+".golden"), r, accept)
}

// checkLicense makes sure that the license travels with what was downloaded.
func (c *consumer) checkLicense(r release) error {
	escaped, err := module.EscapePath(r.Path)
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(c.modcache, filepath.FromSlash(escaped)+"@"+r.Version.Version, "LICENSE"))
	return err
}

// command runs one command and returns its standard output; all that it printed
// is in the error where it fails.
func command(dir string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &all
	if err := cmd.Run(); err != nil {
		name := strings.Join(append([]string{filepath.Base(args[0])}, args[1:]...), " ")
		return "", fmt.Errorf("%s: %w\n%s%s", name, errors.Join(err, ctx.Err()), indent(stdout.String()), indent(all.String()))
	}
	return stdout.String(), nil
}

func indent(text string) string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
}
