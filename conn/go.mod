module github.com/relay-platform/redis/conn

go 1.25.0
