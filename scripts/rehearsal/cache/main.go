// A user of cache alone, who so far has a package to import and nothing to call.
package main

import _ "github.com/relay-platform/redis/cache"

func main() {}
