#!/usr/bin/env bash
# tools.sh builds the developers' tools at the versions that internal/tools
# pins: golangci-lint, benchstat, apidiff, govulncheck. The first
# time takes minutes, for golangci-lint; after that the build cache answers.
#
#   scripts/tools.sh [tool…]   default: all of them
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bin=internal/tools/bin
mkdir -p "$bin"
tools() {
	awk '/^tool \(/ { on = 1; next } /^\)/ { on = 0 } on { print $1 }' internal/tools/go.mod
}
# shellcheck disable=SC2046 # one word a tool
[ $# -gt 0 ] || set -- $(tools | sed 's|.*/||')

for tool; do
	# Newer than what pins it: nothing to do, and no second spent on asking go.
	[ "$bin/$tool" -nt internal/tools/go.mod ] && [ "$bin/$tool" -nt internal/tools/go.sum ] && continue
	path=$(tools | grep "/$tool\$" || true)
	[ -n "$path" ] || { echo "tools.sh: internal/tools/go.mod has no tool named $tool" >&2; exit 1; }
	[ "$tool" != golangci-lint ] || [ -e "$bin/$tool" ] || echo "tools.sh: building $tool; the first time takes some minutes" >&2
	GOWORK=off go -C internal/tools build -o bin/ "$path"
	touch "$bin/$tool"
done
