package health_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs the examples only where REDIS_URL names a server to run them
// on; everywhere else they are compiled.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("REDIS_URL") == "" {
		if err := flag.Set("test.skip", "^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
