package redistest

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImagesBehaveLikeTheOfficialOnes tries what people do with the official
// images on those of this machine, which scripts/images.sh may have made.
func TestImagesBehaveLikeTheOfficialOnes(t *testing.T) {
	t.Parallel()
	label := labelRun + "=" + mustEngine(t).labels[labelRun]
	docker := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for _, v := range []Version{Redis80, Redis70, Valkey81} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			family, release := v.split()
			run := []string{"run", "--rm", "--label", label, v.image()}

			// Bare options are the server's; anything else runs as it is.
			if got := docker(t, append(run, "--version")...); !strings.Contains(got, "v="+release+".") {
				t.Errorf("--version: %q, want release %s", got, release)
			}
			if got := docker(t, append(run, "sh", "-c", "echo as it is; id -u")...); got != "as it is\n0" {
				t.Errorf("sh: %q", got)
			}

			// A published port is not refused, the server is not root, and SIGTERM
			// reaches it.
			id := docker(t, "run", "-d", "--label", label, "-p", "127.0.0.1::6380", v.image(), "--port", "6380", "--requirepass", "secret")
			t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", "-v", id).Run() })
			addr := docker(t, "port", id, "6380/tcp")
			eventually(t, "the published port answers", func() bool {
				c, err := dial(t.Context(), addr, nil)
				if err != nil {
					return false
				}
				defer c.Close()
				if got, err := c.Do(t.Context(), "AUTH", "secret"); got != "OK" {
					t.Logf("AUTH: %v, %v", got, err)
					return false
				}
				return true
			})
			if user := docker(t, "exec", id, "stat", "-c", "%U", "/proc/1"); user != family {
				t.Errorf("the server runs as %s, want %s", user, family)
			}
			docker(t, "stop", "-t", "20", id)
			if code := docker(t, "inspect", "-f", "{{.State.ExitCode}}", id); code != "0" {
				t.Errorf("SIGTERM ended the server with %s, want 0", code)
			}
		})
	}
}
