#!/usr/bin/env bash
# test.sh runs every test of the workspace: units, the integration tests on the
# default server, the same on every server and topology of the matrix, and the
# ones that measure time, without the race detector, which would be measured too.
#
#   scripts/test.sh [unit] [integration] [matrix] [timing]    default: all four
#
#   MATRIX         cells to run, "server/topology …"; default: all nine but the
#                  one that the integration phase ran
#   MATRIX_SKIP    tests left out in a cell that does not run faults
#   FAULT_CELLS    cells that run the fault tests as well: one a topology, since
#                  a fault is the client's to survive, whatever the version
#   RUN            only tests that match, in the unit and integration phases
#   TIMING_RUN     tests that hold only without the race detector
#
# Every phase ends with what ran, and with each test that was skipped. A phase
# in which nothing ran has failed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${FAULT_CELLS:=redis:8.0/sentinel redis:8.0/cluster}"
: "${MATRIX_SKIP:=^TestFault|Timing}"
: "${TIMING_RUN:=Timing}"
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
	FAULT_CELLS=$default_cell
	export REDISTEST_SERVER=local
	left_out="no Docker engine answered: only $(redis-server --version | grep -o 'v=[0-9.]*'), standalone, was tested"
fi
: "${MATRIX:=$(grep -vx "$default_cell" <<<"$all_cells" || true)}"

reporter=internal/tools/bin/testreport
mkdir -p internal/tools/bin
GOWORK=off go -C internal/tools build -o bin/ ./testreport

# gotest runs go test and reports: the runner's own lines, everything that a
# failed test printed, the figures that tests measured, and a count at the end.
gotest() {
	go test -json -count=1 "$@" | "$reporter"
}

unit() {
	local packages=()
	for module in $(workspace_modules); do
		[ "$module" = integration ] || ! has_go_files "$module" || packages+=("./$module/...")
	done
	gotest -race -timeout 5m ${RUN:+-run "$RUN"} -skip "$TIMING_RUN" "${packages[@]}"
}

integration() {
	gotest -race -timeout 8m ${RUN:+-run "$RUN"} -skip "$TIMING_RUN" ./integration
}

cell() {
	local faults=(-skip "$MATRIX_SKIP")
	if grep -qwF -- "$1" <<<"$FAULT_CELLS"; then faults=(-skip "$TIMING_RUN"); fi
	REDISTEST_SERVER=${1%/*} REDISTEST_TOPOLOGY=${1#*/} gotest -race -timeout 8m "${faults[@]}" ./integration
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
	gotest -p 1 -timeout 5m -run "$TIMING_RUN" "${packages[@]}"
}

finish() {
	local status=$?
	[ -z "$left_out" ] || printf '\nNOT RUN: %s\n' "$left_out"
	(exit $status)
	summary test
}
trap finish EXIT

[ $# -gt 0 ] || set -- unit integration matrix timing
for phase; do
	case $phase in
	unit) step "unit tests" unit ;;
	integration) step "integration on $default_cell" integration ;;
	matrix) for c in $MATRIX; do step "integration on $c" cell "$c"; done ;;
	timing) step "timing, without the race detector" timing ;;
	*)
		echo "usage: scripts/test.sh [unit] [integration] [matrix] [timing]" >&2
		exit 2
		;;
	esac
done
