module github.com/relay-platform/redis/session

go 1.25.0

require github.com/relay-platform/redis/conn v0.1.0

replace github.com/relay-platform/redis/conn => ../conn
