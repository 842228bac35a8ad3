package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ours is where the modules of this repository live. Their versions are left
// out of a graph: they change with every release, which is no news.
const ours = "github.com/relay-platform/redis/"

// graph is what a user gets together with a module.
type graph struct {
	// modules are all that the go command has to know; most are never
	// downloaded, but each is one more voice in the choice of versions.
	modules []string
	// packages are those compiled into the program, but for the standard library.
	packages []string
}

// graph asks the go command in dir, a blank module that uses one of ours.
func (c *consumer) graph(dir string) (graph, error) {
	var g graph
	out, err := command(dir, c.env, "go", "list", "-m", "-f", "{{if not .Main}}{{.Path}} {{.Version}}{{end}}", "all")
	if err != nil {
		return g, err
	}
	for _, line := range lines(out) {
		if path, _, _ := strings.Cut(line, " "); strings.HasPrefix(path, ours) {
			line = path
		}
		g.modules = append(g.modules, line)
	}
	out, err = command(dir, c.env, "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	if err != nil {
		return g, err
	}
	for _, line := range lines(out) {
		if line != "example.com/user" {
			g.packages = append(g.packages, line)
		}
	}
	slices.Sort(g.modules)
	slices.Sort(g.packages)
	return g, nil
}

func (g graph) String() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		lines []string
	}{{"modules in the graph", g.modules}, {"packages compiled, without the standard library", g.packages}} {
		fmt.Fprintf(&b, "%d %s\n", len(part.lines), part.title)
		for _, line := range part.lines {
			fmt.Fprintf(&b, "\t%s\n", line)
		}
	}
	return b.String()
}

// compare prints the graph, and fails where it is not the golden one.
func (g graph) compare(golden string, r release, accept bool) error {
	got := "# What a program that uses " + r.Path + " alone gets. Accept a change: make rehearse ACCEPT=1\n" + g.String()
	fmt.Print(indent(g.String()))
	if accept {
		return os.WriteFile(golden, []byte(got), 0o644)
	}
	content, err := os.ReadFile(golden)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("scripts/rehearsal/%s is missing; look at the graph above and write it with: make rehearse ACCEPT=1", filepath.Base(golden))
	}
	if err != nil {
		return err
	}
	want := string(content)
	if want == got {
		return nil
	}
	return fmt.Errorf("its users' dependency graph is not that of scripts/rehearsal/%s:\n%sif each line is meant: make rehearse ACCEPT=1, and say why in the commit",
		filepath.Base(golden), difference(lines(want), lines(got)))
}

// difference lists the lines that only one of two sorted lists has.
func difference(want, got []string) string {
	var b strings.Builder
	for _, line := range want {
		if !slices.Contains(got, line) {
			fmt.Fprintf(&b, "    - %s\n", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			fmt.Fprintf(&b, "    + %s\n", line)
		}
	}
	return b.String()
}

// lines splits text and leaves out the empty ones.
func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}
