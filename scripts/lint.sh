#!/usr/bin/env bash
# lint.sh checks everything that can be checked without running it: the Go code
# of every module (.golangci.yml), the shell scripts, the workflows.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts/setup.sh lint
scripts/tools.sh golangci-lint
bin=$PWD/internal/tools/bin

# Not in internal/tools: it and golangci-lint need releases of one YAML package
# that do not agree, and a module has room for one.
actionlint=v1.7.12
if [ ! -x "$bin/actionlint-$actionlint" ]; then
	GOWORK=off GOBIN=$bin go install "github.com/rhysd/actionlint/cmd/actionlint@$actionlint"
	mv "$bin/actionlint" "$bin/actionlint-$actionlint"
fi

packages=()
for module in $(workspace_modules); do
	! has_go_files "$module" || packages+=("./$module/...")
done
"$bin/golangci-lint" run "${packages[@]}"
# Not in the workspace, so that its dependencies are not merged into ours.
(cd internal/tools && GOWORK=off "$bin/golangci-lint" run --config ../../.golangci.yml ./...)

# The rehearsal's programs belong to no module; `make rehearse` compiles them.
unformatted=$(gofmt -l scripts)
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted" >&2; exit 1; }

for script in .ci/run scripts/*.sh; do
	# Its notes below a warning guess at what was meant, and guess wrong here.
	shellcheck --external-sources --severity=warning "$script"
done
"$bin/actionlint-$actionlint" -shellcheck=shellcheck .github/workflows/*.yml
