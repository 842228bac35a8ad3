#!/usr/bin/env bash
# fuzz.sh runs every fuzz test of the workspace for FUZZTIME each (default 10s).
# An input that fails is kept under testdata/fuzz: commit it with the fix.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

found=$(for module in $(workspace_modules); do
	grep -roE '^func Fuzz\w+' --include='*_test.go' "$module" || true
done)
if [ -z "$found" ]; then
	echo "there is no fuzz test in the workspace"
	exit
fi
while IFS=: read -r file function; do
	echo "# $(dirname "$file") ${function#func }"
	go test -run '^$' -fuzz "^${function#func }\$" -fuzztime "${FUZZTIME:-10s}" "./$(dirname "$file")"
done <<<"$found"
