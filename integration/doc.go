// Package integration runs every module of this repository against real
// servers: go test ./integration from the root. It holds only tests.
//
// REDISTEST_SERVER and REDISTEST_TOPOLOGY choose another server or topology
// for the tests that run on any; see package redistest.
package integration
