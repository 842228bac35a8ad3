package integration_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/relay-platform/redis/internal/redistest"
)

// The examples of every module print what they say, on a real server. Without
// one they only compile.
func TestExamplesOfEveryModule(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	example := regexp.MustCompile(`(?m)^func (Example\w*)\(\)`)
	output := regexp.MustCompile(`(?m)^\s*// (Unordered o|O)utput:`)
	for _, module := range []string{"conn", "cache", "pubsub", "session", "ratelimit", "lock", "health"} {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-run", "^Example", "-v", "-count=1", "-timeout", "2m", ".")
		cmd.Dir = "../" + module
		cmd.Env = append(os.Environ(), "REDIS_URL="+s.URL())
		out, err := cmd.CombinedOutput()
		passed := bytes.Count(out, []byte("--- PASS: Example"))
		if err != nil {
			t.Errorf("%s: %v\n%s", module, err, out)
		}
		examples, checked := 0, 0
		files, err := os.ReadDir(cmd.Dir)
		must(t, err)
		for _, f := range files {
			if strings.HasSuffix(f.Name(), "_test.go") {
				text, err := os.ReadFile(cmd.Dir + "/" + f.Name())
				must(t, err)
				examples += len(example.FindAll(text, -1))
				checked += len(output.FindAll(text, -1))
			}
		}
		t.Logf("%s: %d examples, %d with an output, %d passed", module, examples, checked, passed)
		if examples == 0 || passed == 0 || passed != checked {
			t.Errorf("%s: %d of %d examples with an output passed", module, passed, checked)
		}
	}
}
