#!/usr/bin/env bash
# guard.sh checks what the repository promises about itself: what a released
# module hands to its users, that the modules' boundaries hold, that versions
# agree, and that nothing of one machine got into the tree. It prints all that is
# wrong, not the first thing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export GOWORK=off

# The Go versions that go.mod files state: one for everything users get, the
# lowest that is still supported, and one for what is only built here.
released_go=1.25.0
unreleased_go=1.26.0

failures=0
fail() {
	echo "guard: $*" >&2
	failures=$((failures + 1))
}

# fail_lines reports every line of standard input, after the text given. Its
# input comes by process substitution: a pipe would count in a shell of its own,
# and end the script when a grep finds nothing.
fail_lines() {
	local line
	while read -r line; do fail "$* $line"; done
}

is_released() { [ -n "$(next_version "$1")" ]; }

# go_list is go list, in the folder given; a module that does not even list is
# a failure of its own.
go_list() {
	local module=$1
	shift
	go -C "$module" list "$@" || echo "guard-cannot-list"
}

# What no user of a released module should have to download or link.
heavy='github[.]com/stretchr/|testcontainers|alicebob/miniredis|github[.]com/redis/go-redis|redigo|redsync|docker/|moby/|go[.]uber[.]org/goleak'

# dependencies: what comes with a released module, by its code and by its go.mod.
dependencies() {
	local module=$1 deps tests own allowed
	deps=$(go_list "$module" -deps ./...)
	tests=$(go_list "$module" -deps -test ./... | sed 's/ \[.*//')
	fail_lines "$module does not list its packages:" < <(grep -x guard-cannot-list <<<"$deps")
	fail_lines "$module links into users' programs:" < <(grep -E '^testing(/|$)' <<<"$deps")
	fail_lines "$module imports:" < <(grep -E "$heavy" <<<"$deps")
	fail_lines "$module imports, in its tests:" < <(grep -E "$heavy" <<<"$tests" | grep -vxF "$deps")
	fail_lines "$module/go.mod requires, if only for tests:" < <(grep -E "$heavy" "$module/go.mod")

	# Its own packages and conn's; of ours, nothing else.
	own=$(printf '%s\n%s\n' "$deps" "$tests" | sort -u | grep "^$MODULE_ROOT/" || true)
	allowed="^$MODULE_ROOT/($module|conn)([./_]|\$)"
	fail_lines "$module imports another module than conn:" < <(grep -vE "$allowed" <<<"$own" | grep .)
	fail_lines "$module/go.mod names another module than conn:" < <(
		go mod edit -json "$module/go.mod" | grep -oE "$MODULE_ROOT/[^\"]*" | sort -u | grep -vE "$allowed"
	)
}

# versions: the go line, the toolchain, what siblings require of each other.
versions() {
	local module=$1 want=$unreleased_go line path version next
	if is_released "$module"; then want=$released_go; fi
	line=$(awk '$1 == "go" { print $2 }' "$module/go.mod")
	[ "$line" = "$want" ] || fail "$module/go.mod says go $line, not go $want"
	! grep -q '^toolchain' "$module/go.mod" || fail "$module/go.mod has a toolchain line: it would choose for the users"
	line=$(awk '$1 == "module" { print $2 }' "$module/go.mod")
	[ "$line" = "$MODULE_ROOT/$module" ] || fail "$module/go.mod names itself $line"

	while read -r path version; do
		next=$(next_version "${path#"$MODULE_ROOT/"}")
		case $next in
		"")
			! is_released "$module" || fail "$module/go.mod requires $path, which is never released"
			;;
		"$version") ;;
		*) fail "$module/go.mod requires $path $version, and scripts/versions.txt says $next" ;;
		esac
		grep -qE "^(replace)?\s*$path => \.\.?/" "$module/go.mod" ||
			fail "$module/go.mod requires $path without a replace: it is tested with the published one, not the tree's"
	done < <(awk -v root="$MODULE_ROOT/" '
		$1 == "require" && $2 != "(" { $1 = ""; $0 = $0 }
		$1 == "replace" || $2 == "=>" { next }
		index($1, root) == 1 { print $1, $2 }' "$module/go.mod")
}

# workspace: every module is in go.work, and either released or in its place.
workspace() {
	local module file
	for module in $(workspace_modules); do
		is_released "$module" || [[ $module = integration || $module = internal/* ]] ||
			fail "$module is neither in scripts/versions.txt nor under internal"
	done
	for module in $(released_modules); do
		workspace_modules | grep -qx "$module" || fail "$module is in scripts/versions.txt and not in go.work"
		grep -qE "options: \[.*\b$module\b" .github/workflows/release.yml || fail "$module is not among the modules of .github/workflows/release.yml"
		[ "$(grep -c "/$module/\*\*" .golangci.yml)" = 2 ] || fail "$module is not in both depguard rules of .golangci.yml"
		[ -f "scripts/rehearsal/$module/main.go" ] || fail "$module has no program in scripts/rehearsal/$module"
	done
	for file in $(tree_files '*go.mod'); do
		module=${file%/go.mod}
		[ "$module" = internal/tools ] || workspace_modules | grep -qx "$module" || fail "$file is not in go.work"
	done
	[ "$(awk '$1 == "go" { print $2 }' go.work)" = "$unreleased_go" ] || fail "go.work does not say go $unreleased_go"
	! grep -qE '^(toolchain|replace)' go.work || fail "go.work has a toolchain or replace line"
}

# tree_files prints every file that is in the tree, or would be after a commit.
tree_files() {
	local file
	git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
		[ ! -f "$file" ] || echo "$file"
	done
}

# tree: the top level holds what CONTRIBUTING.md lists, and no file names a place
# that exists on one machine only.
tree() {
	local known=(go.work go.work.sum README.md LICENSE CHANGELOG.md Makefile internal integration scripts
		.github .ci .golangci.yml .gitignore .gitattributes)
	fail_lines "unexpected at the top level:" < <(
		tree_files | cut -d/ -f1 | sort -u | grep -vxF -f <(printf '%s\n' "${known[@]}" && released_modules)
	)

	# Home folders and mounts of one machine; package registries' hosts.
	local place='(^|[^A-Za-z0-9._~/-])/(root|home|Users|work|farm|mnt|tmp/[a-z_]+_jobs)(/|\.)[A-Za-z0-9._-]'
	local host='(proxy|sum)[.]golang[.]org|(deb|security|archive)[.](debian|ubuntu)[.](org|com)|registry[.][a-z-]+[.](org|io|com)|registry-1[.]docker|pypi[.]org|goproxy[.](io|cn)'
	fail_lines "a place of one machine, or a registry:" < <(
		git grep -nIE --untracked -e "$place" -e "$host" -- . ':!*.sum'
	)
	fail_lines "one concept a file, at most 500 lines:" < <(
		tree_files '*.go' | xargs -r wc -l | awk '$2 != "total" && $1 > 500 { print $2 " has " $1 " lines" }'
	)
}

workspace
git ls-files >/dev/null || fail "git does not list the tree, so nothing in it was checked"
tree
for module in $(workspace_modules); do versions "$module"; done
grep -q "^go $unreleased_go\$" internal/tools/go.mod || fail "internal/tools/go.mod does not say go $unreleased_go"
for module in $(released_modules); do dependencies "$module"; done

if [ $failures -gt 0 ]; then
	echo "guard: $failures found" >&2
	exit 1
fi
echo "guard: $(released_modules | wc -l) released modules hand on nothing they should not"
