module github.com/relay-platform/redis/internal/redistest

go 1.26.0
