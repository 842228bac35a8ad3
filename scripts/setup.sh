#!/usr/bin/env bash
# setup.sh sees to what a make target needs beyond a Go toolchain. Quiet, and
# done in a fraction of a second, where nothing is missing.
#
#   scripts/setup.sh demo    a Redis server, if one can be had; never fails
#   scripts/setup.sh bench   a Redis server
#   scripts/setup.sh test    a C compiler (for -race), every image of the matrix, a redis-server
#   scripts/setup.sh lint    shellcheck
#
# A server comes from a Docker engine that answers; in CI, as root on Debian, an
# engine is installed; elsewhere the engine is yours to install, and until then
# a local redis-server serves. With REQUIRE_DOCKER=1 nothing but an engine will do.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say() { echo "setup: $*" >&2; }

# command_or_package makes sure that command $1 runs; $2 are its packages.
command_or_package() {
	command -v "$1" >/dev/null && return
	if ! can_install; then
		say "there is no $1. Install it (on Debian: apt-get install $2) and try again."
		return 1
	fi
	# shellcheck disable=SC2086 # one word a package
	install_packages $2
}

# engine_in_ci installs a Docker engine and starts it, where a CI's machine is
# ours to change. It fails where containers are not allowed; what follows then
# is the local server.
engine_in_ci() {
	# An engine elsewhere that does not answer is not ours to replace.
	[ -z "${DOCKER_HOST:-}" ] && in_ci && can_install || return 1
	command -v dockerd >/dev/null || install_packages docker.io || return 1
	docker_answers && return
	say "starting dockerd"
	local log
	log=$(mktemp)
	setsid dockerd >"$log" 2>&1 </dev/null &
	local pid=$!
	for _ in {1..60}; do
		docker_answers && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	say "dockerd did not start; its last lines:"
	tail -n 5 "$log" >&2
	return 1
}

# server sees to the images named, or to a local redis-server.
server() {
	if docker_answers || engine_in_ci; then
		scripts/images.sh "$@"
		return
	fi
	if [ "${REQUIRE_DOCKER:-}" = 1 ]; then
		say "REQUIRE_DOCKER=1, and no Docker engine answers. Start one (docker version must show a server)."
		return 1
	fi
	command -v redis-server >/dev/null && return
	scripts/images.sh --local && return
	say "there is neither a Docker engine nor a redis-server. One of these helps:"
	say "  - start a Docker engine, so that 'docker version' shows a server"
	say "  - put redis-server 7.0 or newer in PATH (on Debian as root: scripts/images.sh --local)"
	return 1
}

# local_server sees to a redis-server beside the images: that servers also run as
# local processes is tested.
local_server() {
	command -v redis-server >/dev/null && return
	scripts/images.sh --local && return
	say "there is no redis-server in PATH, which internal/redistest's own tests need (on Debian as root: scripts/images.sh --local)."
	return 1
}

compiler() {
	# Without libc's headers gcc is there and cgo does not build.
	[ -e /usr/include/stdlib.h ] || [ "$(uname -s)" != Linux ] || ! can_install || install_packages gcc libc6-dev
	command_or_package gcc "gcc libc6-dev"
}

if ! command -v go >/dev/null; then
	say "there is no go command. Install Go $(awk '$1 == "go" { print $2 }' go.work) or newer: https://go.dev/doc/install"
	exit 1
fi

case ${1:-} in
demo)
	[ -n "${REDIS_URL:-}" ] || server redis:8.0 || say "the demo goes on without: it has an embedded server for this case."
	;;
bench) [ -n "${REDIS_URL:-}" ] || server redis:8.0 ;;
test)
	compiler
	server
	local_server
	;;
lint) command_or_package shellcheck shellcheck ;;
*)
	echo "usage: scripts/setup.sh demo|bench|test|lint" >&2
	exit 2
	;;
esac
