//go:build !race

package integration_test

import "time"

// slack is by how much a call may overrun its deadline.
const slack = 50 * time.Millisecond
