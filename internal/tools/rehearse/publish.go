package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// publish writes what a module proxy serves for r below the folder proxy.
func publish(proxy, root string, r release, siblings []release) error {
	gomod, err := os.ReadFile(filepath.Join(root, r.folder, "go.mod"))
	if err != nil {
		return err
	}
	if err := checkRequires(gomod, siblings); err != nil {
		return err
	}
	files, err := moduleFiles(root, r.folder)
	if err != nil {
		return err
	}

	escaped, err := module.EscapePath(r.Path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": r.Version.Version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := zip.Create(&archive, r.Version, files); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"list":                      []byte(r.Version.Version + "\n"),
		r.Version.Version + ".info": info,
		r.Version.Version + ".mod":  gomod,
		r.Version.Version + ".zip":  archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// checkRequires finds what a replace in the tree covers up: a requirement of a
// sibling at a version that is not the one about to be published.
func checkRequires(gomod []byte, siblings []release) error {
	file, err := modfile.Parse("go.mod", gomod, nil)
	if err != nil {
		return err
	}
	next := make(map[string]string, len(siblings))
	for _, s := range siblings {
		next[s.Path] = s.Version.Version
	}
	for _, require := range file.Require {
		if v, ours := next[require.Mod.Path]; ours && v != require.Mod.Version {
			return fmt.Errorf("go.mod requires %s, and %s is what will be published: raise one of the two", require.Mod, v)
		}
	}
	for _, replace := range file.Replace {
		// Users' builds ignore replace, so one of a foreign module would mean
		// that the tests in the tree prove something else than they get.
		if _, ours := next[replace.Old.Path]; !ours {
			return fmt.Errorf("go.mod replaces %s, which users' builds ignore", replace.Old.Path)
		}
	}
	return nil
}

func modulePath(dir string) (string, error) {
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	if p := modfile.ModulePath(gomod); p != "" {
		return p, nil
	}
	return "", fmt.Errorf("%s/go.mod has no module line", dir)
}

// moduleFiles lists what a tag of the tree as it is now would publish: the files
// that git tracks or would, and the LICENSE of the root, which the go command
// adds to every module below it.
func moduleFiles(root, folder string) ([]zip.File, error) {
	list := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []zip.File
	licensed := false
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		at := filepath.Join(root, filepath.FromSlash(name))
		if _, err := os.Lstat(at); os.IsNotExist(err) {
			continue // deleted, and the deletion not committed yet
		}
		inside := strings.TrimPrefix(name, folder+"/")
		if path.Base(inside) == "go.mod" && inside != "go.mod" {
			return nil, fmt.Errorf("%s: a module inside a released module is not published with it", name)
		}
		licensed = licensed || inside == "LICENSE"
		files = append(files, treeFile{inside, at})
	}
	if !licensed {
		license := filepath.Join(root, "LICENSE")
		if _, err := os.Stat(license); err != nil {
			return nil, err
		}
		files = append(files, treeFile{"LICENSE", license})
	}
	return files, nil
}

// treeFile is a file of the tree under the name that it has in the archive.
type treeFile struct{ name, at string }

var _ zip.File = treeFile{}

func (f treeFile) Path() string                 { return f.name }
func (f treeFile) Lstat() (os.FileInfo, error)  { return os.Lstat(f.at) }
func (f treeFile) Open() (io.ReadCloser, error) { return os.Open(f.at) }
