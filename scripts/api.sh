#!/usr/bin/env bash
# api.sh prints how a module's exported API differs from that of a tag, and fails
# where a program that compiled would no longer and the version does not say so:
# from v1 on that takes a new major version, before it a new minor one.
#
#   scripts/api.sh conn conn/v0.1.0 v0.2.0
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

module=$1 old=$2 version=$3
apidiff=$PWD/internal/tools/bin/apidiff
scripts/tools.sh apidiff

work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/tree" "$old"

export GOWORK=off
(cd "$work/tree/$module" && "$apidiff" -m -w "$work/old" "$MODULE_ROOT/$module")
(cd "$module" && "$apidiff" -m -w "$work/new" "$MODULE_ROOT/$module")
"$apidiff" -m "$work/old" "$work/new"
broken=$("$apidiff" -m -incompatible "$work/old" "$work/new")
[ -n "$broken" ] || exit 0

# The part of a version that has to change: v1 of v1.2.3, v0.1 of v0.1.3.
promise() { sed -E 's|.*/||; s|^v0\.([0-9]+).*|v0.\1|; t; s|^(v[0-9]+).*|\1|' <<<"$1"; }
if [ "$(promise "$old")" = "$(promise "$version")" ]; then
	echo "api: these changes break users of $old, and $version does not say so" >&2
	exit 1
fi
