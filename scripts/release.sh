#!/usr/bin/env bash
# release.sh releases one module: a tag <module>/<version> on the commit that is
# checked out. A tag is for ever (proxies keep it when it is deleted), so all
# that can be wrong is checked first.
#
#   scripts/release.sh check conn v0.1.0    change nothing
#   scripts/release.sh tag conn v0.1.0      check, then tag and push the tag
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

die() {
	echo "release: $*" >&2
	exit 1
}

[ $# -eq 3 ] || die "usage: scripts/release.sh check|tag <module> <version>"
action=$1 module=$2 version=$3
tag=$module/$version

released_modules | grep -qxF -- "$module" || die "scripts/versions.txt has no module $module"
[ "$(next_version "$module")" = "$version" ] ||
	die "scripts/versions.txt says that the next $module is $(next_version "$module"), not $version"
[[ $version =~ ^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] || die "$version is no version"
[ -z "$(git status --porcelain)" ] || die "there are changes that are not committed; the tag would not have them"
! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || die "$tag exists already; a tag is never moved: raise scripts/versions.txt"

# A sibling that is required must be there for the users: conn goes first.
while read -r path required; do
	sibling=${path#"$MODULE_ROOT/"}
	git rev-parse -q --verify "refs/tags/$sibling/$required" >/dev/null ||
		die "$module requires $sibling $required, which has no tag: release $sibling first"
	# The tag has to be what this tree was tested with, or the users get an
	# older sibling than the tests did.
	git diff --quiet "refs/tags/$sibling/$required" -- "$sibling/*.go" "$sibling/go.mod" ":!$sibling/*_test.go" ||
		die "$sibling changed since $sibling/$required, which $module requires: release it at a new version first"
done < <(awk -v root="$MODULE_ROOT/" '
	$1 == "require" && $2 != "(" { $1 = ""; $0 = $0 }
	$1 == "replace" || $2 == "=>" { next }
	index($1, root) == 1 { print $1, $2 }' "$module/go.mod")

# What changed for the users of the last release, where there was one.
last=$(git tag --list "$module/v*" --sort=-v:refname | head -n 1)
if [ -n "$last" ]; then
	scripts/api.sh "$module" "$last" "$version"
fi
MODULE=$module scripts/rehearse.sh

echo "release: $tag can be made on $(git rev-parse --short HEAD)"
[ "$action" != tag ] || {
	git tag "$tag"
	git push origin "refs/tags/$tag"
}
