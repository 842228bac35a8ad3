module github.com/relay-platform/redis/lock

go 1.25.0

require github.com/relay-platform/redis/conn v0.1.0

require (
	github.com/redis/rueidis v1.0.79 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/relay-platform/redis/conn => ../conn
