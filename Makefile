# Relay Redis. Needs a Go toolchain; each target installs or builds what else it
# needs, where it may, or says what to do. The work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench tidy rehearse guard fuzz clean

help: ## Print what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See the main job done on a real Redis (REDIS_URL, or one that it starts)
	@scripts/setup.sh demo || true
	@go run ./internal/demo

test: ## Run all tests on every server and topology (part: make test T="unit integration" RUN=Pattern)
	@scripts/setup.sh test
	@RUN='$(RUN)' scripts/test.sh $(T)

lint: ## Check code, scripts and workflows without running them
	@scripts/lint.sh

bench: ## Compare with raw rueidis and other clients side by side; one line a comparison at the end
	@scripts/setup.sh bench
	@go run ./internal/bench $(ARGS)

tidy: ## Run go mod tidy in every module
	@scripts/tidy.sh

rehearse: ## Be the first user of each released module (ACCEPT=1: accept changed dependency graphs)
	@ACCEPT='$(ACCEPT)' MODULE='$(MODULE)' scripts/rehearse.sh

guard: ## Check the modules' boundaries, versions, and what users get with them
	@scripts/guard.sh

fuzz: ## Run every fuzz test for FUZZTIME (default 10s)
	@scripts/fuzz.sh

clean: ## Remove what make built in the tree
	@rm -rf internal/tools/bin
