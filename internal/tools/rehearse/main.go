// Rehearse publishes the released modules of a tree at their next versions to a
// throw-away place on this machine, and then is their first user: for each
// module a blank one, outside the workspace, gets that module alone, compiles a
// program with it and runs it. What go.work and replace hide from the tests in
// the tree (a requirement that is missing, or names a version that will not
// exist) fails here, before a tag makes it permanent.
//
//	rehearse [-accept] [-module name] <root of the repository>
//
// It reads scripts/versions.txt and scripts/rehearsal/<module>/main.go, and
// compares the dependency graph that each user gets with
// scripts/rehearsal/<module>.golden; -accept writes those files instead.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

func main() {
	accept := flag.Bool("accept", false, "write the golden dependency graphs instead of comparing with them")
	only := flag.String("module", "", "be the user of this module only; all are published")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: rehearse [-accept] [-module name] <root of the repository>")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *only, *accept); err != nil {
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		os.Exit(1)
	}
}

func run(root, only string, accept bool) (err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return err
	}
	releases, err := readReleases(root)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "rehearse-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	proxy := filepath.Join(tmp, "proxy")
	for _, r := range releases {
		if err := publish(proxy, root, r, releases); err != nil {
			return fmt.Errorf("publishing %s: %w", r.Version, err)
		}
	}
	fmt.Printf("published %d modules to a throw-away place\n", len(releases))

	user, err := newConsumer(root, tmp, proxy)
	if err != nil {
		return err
	}
	var failed []string
	tried := 0
	for _, r := range releases {
		if only != "" && only != r.folder {
			continue
		}
		tried++
		start := time.Now()
		fmt.Printf("\n# %s, alone\n", r.Version)
		if err := user.use(r, accept); err != nil {
			fmt.Fprintf(os.Stderr, "FAIL %s: %v\n", r.folder, err)
			failed = append(failed, r.folder)
			continue
		}
		fmt.Printf("ok   %s %.1fs\n", r.folder, time.Since(start).Seconds())
	}
	switch {
	case tried == 0:
		return fmt.Errorf("scripts/versions.txt has no module %q", only)
	case len(failed) > 0:
		return fmt.Errorf("%d of %d modules cannot be released as they are: %s", len(failed), tried, strings.Join(failed, ", "))
	}
	return nil
}

// release is a module of the tree, and the version that it will be tagged at.
type release struct {
	module.Version
	folder string // relative to the root, which is also its name
}

// readReleases reads scripts/versions.txt: a folder and a version a line.
func readReleases(root string) ([]release, error) {
	text, err := os.ReadFile(filepath.Join(root, "scripts", "versions.txt"))
	if err != nil {
		return nil, err
	}
	var releases []release
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		folder, version, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("scripts/versions.txt: %q is not a folder and a version", line)
		}
		path, err := modulePath(filepath.Join(root, folder))
		if err != nil {
			return nil, err
		}
		r := release{module.Version{Path: path, Version: strings.TrimSpace(version)}, folder}
		if err := module.Check(r.Path, r.Version.Version); err != nil {
			return nil, fmt.Errorf("scripts/versions.txt: %w", err)
		}
		releases = append(releases, r)
	}
	return releases, nil
}
