#!/usr/bin/env bash
# alone.sh builds, vets and tests every module outside the workspace: go.work
# lends each module its siblings' requirements, so that a go.mod which lacks one
# works here and fails for its users.
#
#   scripts/alone.sh [--released]    only the modules that users can get, which
#                                    is what builds with the previous Go
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export GOWORK=off

modules=$(workspace_modules)
if [ "${1:-}" = --released ]; then modules=$(released_modules); fi

for module in $modules; do
	if ! has_go_files "$module"; then
		echo "$module has no Go code" >&2
		continue
	fi
	echo "# $module"
	go -C "$module" build ./...
	# Vet type-checks the tests as well.
	go -C "$module" vet ./...
	case $module in
	# Their tests start servers, and make test has run them; what this script
	# is after, a requirement that is missing or too old, does not compile.
	integration | internal/*) ;;
	*) go -C "$module" test -race -count=1 -timeout 5m ./... ;;
	esac
done
