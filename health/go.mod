module github.com/relay-platform/redis/health

go 1.25.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/redis/rueidis v1.0.79
	github.com/relay-platform/redis/conn v0.1.0
)

require golang.org/x/sys v0.47.0 // indirect

replace github.com/relay-platform/redis/conn => ../conn
