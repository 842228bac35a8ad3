package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// tempDir makes a directory for one server. Its name tells, as the labels of a
// container do, whether the process that made it still lives.
func tempDir() (string, error) {
	removeStaleDirs()
	return os.MkdirTemp("", dirPrefix(identity())+"-")
}

// dirPrefix is "redistest-<PID namespace>-<process>-<its start>".
func dirPrefix(labels map[string]string) string {
	namespace := strings.Trim(strings.TrimPrefix(labels[labelPIDNS], "pid:"), "[]")
	return fmt.Sprintf("redistest-%s-%s-%s", namespace, labels[labelPID], labels[labelStart])
}

// removeStaleDirs removes, once, what processes that were killed have left. A
// directory that cannot be removed is another user's, and theirs to remove.
var removeStaleDirs = sync.OnceFunc(sweepDirs)

func sweepDirs() {
	own := identity()
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "redistest-*-*-*-*"))
	for _, dir := range dirs {
		part := strings.Split(filepath.Base(dir), "-")
		labels := map[string]string{
			labelBoot:  own[labelBoot], // a start of another boot does not match either
			labelPIDNS: "pid:[" + part[1] + "]",
			labelPID:   part[2],
			labelStart: part[3],
		}
		if stale(labels, own) {
			_ = os.RemoveAll(dir)
		}
	}
}
