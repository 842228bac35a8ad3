#!/usr/bin/env bash
# test.sh runs every test of the workspace: units, the integration tests on the
# default server, the same on every server and topology of the matrix, and once
# more, without the race detector, those that measure time: under it they allow
# for what it costs, here they hold to what is promised.
#
#   scripts/test.sh [unit] [integration] [matrix] [timing]    default: all four
#
#   MATRIX         cells to run, "server/topology …"; default: all nine but the
#                  one that the integration phase ran
#   MATRIX_SKIP    tests that only the integration phase runs: the faults, which
#                  are the client's to survive, whatever the version
#   ANY_RUN        tests that follow REDISTEST_TOPOLOGY; the others start what
#                  they need by themselves, so they run once a version
#   RUN            only tests that match, in the unit and integration phases
#   TIMING_RUN     tests that measure time, by their names
#
# Every phase ends with what ran, and names each test that failed or was skipped.
# A phase in which nothing ran has failed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${MATRIX_SKIP:=^TestFault}"
: "${ANY_RUN:=^TestAny}"
: "${TIMING_RUN:=Timing|Deadline}"
: "${RUN:=}"

default_cell=redis:8.0/standalone
all_cells=$(for s in redis:8.0 redis:7.0 valkey:8.1; do
	for t in standalone sentinel cluster; do echo "$s/$t"; done
done)

# What did not run and why, for the last line.
left_out=

if ! docker_answers; then
	# Without an engine there is what the machine has: one version, no groups.
	default_cell=local/standalone
	all_cells=$default_cell
	export REDISTEST_SERVER=local
	left_out="no Docker engine answered: only $(redis-server --version | grep -o 'v=[0-9.]*'), standalone, was tested"
fi
: "${MATRIX:=$(grep -vx "$default_cell" <<<"$all_cells" || true)}"

reporter=internal/tools/bin/testreport
mkdir -p internal/tools/bin
GOWORK=off go -C internal/tools build -o bin/ ./testreport

# gotest runs go test and reports: the runner's own lines, everything that a
# failed test printed, and a count at the end; with_figures also what the tests
# that passed logged, which is what they measured.
gotest() { go test -json -count=1 "$@" | "$reporter"; }
with_figures() { go test -json -count=1 "$@" | "$reporter" -logs; }

unit() {
	local packages=()
	for module in $(workspace_modules); do
		[ "$module" = integration ] || ! has_go_files "$module" || packages+=("./$module/...")
	done
	gotest -race -timeout 5m ${RUN:+-run "$RUN"} "${packages[@]}"
}

integration() {
	with_figures -race -timeout 8m ${RUN:+-run "$RUN"} ./integration
}

cell() {
	local flags=(-skip "$MATRIX_SKIP")
	[ "${1#*/}" = standalone ] || flags+=(-run "$ANY_RUN")
	REDISTEST_SERVER=${1%/*} REDISTEST_TOPOLOGY=${1#*/} gotest -race -timeout 8m "${flags[@]}" ./integration
}

timing() {
	local packages=()
	for module in $(workspace_modules); do
		if grep -rqE "^func Test\w*($TIMING_RUN)" --include='*_test.go' "$module"; then packages+=("./$module/..."); fi
	done
	if [ ${#packages[@]} -eq 0 ]; then
		echo "no test's name matches $TIMING_RUN: what holds only without the race detector is not tested" >&2
		return 1
	fi
	# One package at a time: two that measure at once measure each other.
	with_figures -p 1 -timeout 5m -run "$TIMING_RUN" "${packages[@]}"
}

finish() {
	local status=$?
	[ -z "$left_out" ] || printf '\nNOT RUN: %s\n' "$left_out"
	summary "make test" $status
}
trap finish EXIT

[ $# -gt 0 ] || set -- unit integration matrix timing
for phase; do
	case $phase in
	unit) try "unit tests" unit ;;
	integration) try "integration on $default_cell" integration ;;
	matrix) for c in $MATRIX; do try "integration on $c" cell "$c"; done ;;
	timing) try "timing, without the race detector" timing ;;
	*)
		echo "usage: scripts/test.sh [unit] [integration] [matrix] [timing]" >&2
		exit 2
		;;
	esac
done
