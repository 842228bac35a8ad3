#!/usr/bin/env bash
# rehearse.sh publishes the tree's released modules to a throw-away place, and
# uses each one alone from a blank module: see internal/tools/rehearse.
#
#   ACCEPT=1 scripts/rehearse.sh    write the golden dependency graphs
#   MODULE=conn scripts/rehearse.sh be the user of that module only
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

flags=()
[ -z "${MODULE:-}" ] || flags+=(-module "$MODULE")
[ "${ACCEPT:-}" != 1 ] || flags+=(-accept)
GOWORK=off go -C internal/tools run ./rehearse "${flags[@]}" "$PWD"
