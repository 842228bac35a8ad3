# shellcheck shell=bash
# lib.sh is what the scripts share; sourced, never run. It changes to the root
# of the repository, so that every path in a script is relative to that.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# The prefix that every module of this repository has.
# shellcheck disable=SC2034 # used by the scripts that source this file
MODULE_ROOT=github.com/relay-platform/redis

# workspace_modules prints the folder of every module in go.work, one a line.
# It reads the file itself: `go work` refuses a file that asks for a newer Go,
# and the released modules are also built with the previous one.
workspace_modules() {
	awk '$1 == "use" && $2 != "(" { print $2 }
		/^use \($/ { inside = 1; next }
		/^\)/ { inside = 0 }
		inside && NF && $1 !~ /^\/\// { print $1 }' go.work | sed 's|^\./||'
}

# released_modules prints the folder of every module that users can get.
released_modules() {
	awk 'NF && $1 !~ /^#/ { print $1 }' scripts/versions.txt
}

# next_version prints the version that module $1 will be released at.
next_version() {
	awk -v m="$1" '$1 == m { print $2 }' scripts/versions.txt
}

# has_go_files tells whether folder $1 holds a Go package anywhere: go vet and
# go test call an empty pattern an error in some places, a warning in others.
has_go_files() {
	[ -n "$(find "$1" -name '*.go' -print -quit)" ]
}

# docker_answers tells whether there is a Docker engine to run containers on.
docker_answers() {
	command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1
}

# in_ci tells whether a CI runs this: there, missing system packages may be
# installed without asking.
in_ci() {
	[ "${CI:-}" = true ] || [ "${CI:-}" = 1 ]
}

# can_install tells whether Debian packages can be installed here.
can_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# install_packages installs Debian packages, silently unless that fails.
install_packages() {
	local log
	log=$(mktemp)
	echo "setup: installing $*" >&2
	if ! apt_get install "$@" >"$log" 2>&1 &&
		! { apt-get update -qq && apt_get install "$@"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends "$@"
}

# step runs a named part of a longer job, and prints how long it took. The
# command runs in the caller's shell, so that set -e ends the job when it fails;
# summary, on EXIT, then names the step.
STEPS=()
step() {
	CURRENT_STEP=$1 STEP_START=$SECONDS
	shift
	printf '\n=== %s\n' "$CURRENT_STEP"
	"$@"
	step_ended "ok  "
}

# try is step for a part whose failure does not keep the next from running: the
# command must report by its status alone, since set -e does not hold inside.
try() {
	CURRENT_STEP=$1 STEP_START=$SECONDS
	shift
	printf '\n=== %s\n' "$CURRENT_STEP"
	if "$@"; then step_ended "ok  "; else
		step_ended FAIL
		TRY_FAILED=1
	fi
}

step_ended() {
	STEPS+=("$(printf '%s %5ds  %s' "$1" $((SECONDS - STEP_START)) "$CURRENT_STEP")")
	printf -- '--- %s %s: %ds\n' "$1" "$CURRENT_STEP" $((SECONDS - STEP_START))
	CURRENT_STEP=
}

# summary prints what the steps of job $1 recorded, and exits with status $2, or
# with 1 if a try failed: for a trap on EXIT.
summary() {
	local status=$2
	[ -z "${CURRENT_STEP:-}" ] || step_ended FAIL
	[ "$status" -ne 0 ] || status=${TRY_FAILED:-0}
	printf '\n'
	[ ${#STEPS[@]} -eq 0 ] || printf '  %s\n' "${STEPS[@]}"
	printf '%s: %s after %ds\n' "$1" "$([ "$status" -eq 0 ] && echo passed || echo FAILED)" $SECONDS
	exit "$status"
}
