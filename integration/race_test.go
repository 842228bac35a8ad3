//go:build race

package integration_test

import "time"

// slack is by how much a call may overrun its deadline. The 50 ms that are
// promised are asserted in the run without the race detector, which multiplies
// what 10,000 goroutines cost.
const slack = 10 * time.Second
