// Package redistest starts a real Redis for tests and for the demo.
package redistest
