#!/usr/bin/env bash
# vulncheck.sh asks the Go vulnerability database about what each released
# module calls. It needs the Internet, so it is not part of .ci/run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts/tools.sh govulncheck
for module in $(released_modules); do
	echo "# $module"
	GOWORK=off internal/tools/bin/govulncheck -C "$module" ./...
done
