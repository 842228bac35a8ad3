#!/usr/bin/env bash
# tidy.sh runs go mod tidy in every module.
#
#   scripts/tidy.sh [--check]    change nothing, and fail where tidy would
#
# `go work sync` is left out on purpose: it would raise what the released
# modules ask of their users to what the tests' dependencies happen to need.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export GOWORK=off

flags=()
if [ "${1:-}" = --check ]; then flags=(-diff); fi

failed=()
for module in $(workspace_modules) internal/tools; do
	go -C "$module" mod tidy "${flags[@]}" || failed+=("$module")
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "go.mod or go.sum is not tidy in: ${failed[*]}. Run 'make tidy' and commit the result." >&2
	exit 1
fi
