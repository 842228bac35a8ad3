module github.com/relay-platform/redis/internal/bench

go 1.26.0

require github.com/relay-platform/redis/conn v0.1.0

replace github.com/relay-platform/redis/conn => ../../conn
