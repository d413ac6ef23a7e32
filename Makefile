# The two commands of this project are `make rehearse` and `make test`; both do all set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help rehearse lab test check unit bench bundle synth setup clean

SCENARIO ?= patch
TSX := node --import tsx
bundle := runtime/dist/k8s-upgrade.cjs
installed := node_modules/.package-lock.json

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

rehearse: $(bundle) ## run the whole pipeline in the embedded lab; SCENARIO=list shows what else it plays
	@$(TSX) test/lab/rehearse/main.ts --scenario $(SCENARIO)

lab: $(bundle) ## start the lab and keep it running, for kubectl, ssh and the CLI by hand
	@$(TSX) test/lab/rehearse/serve.ts

test: setup $(bundle) check unit ## everything: format, lint, types, dead code, shellcheck, unit and lab tests

check: $(installed) ## static checks only
	npx biome check --error-on-warnings .
	npx tsc
	npx knip
	shellcheck $$(git ls-files '*.sh' scripts .ci | xargs grep -lE '^#!.*(bash|sh)$$')

unit: $(bundle) ## tests only
	@mkdir -p .cache
	npx vitest run --reporter=default --reporter=json --outputFile.json=.cache/tests.json

bench: $(bundle) ## the three figures: cold start, overhead per node, rehearsal
	@$(TSX) scripts/bench.ts

bundle: $(bundle) ## the runtime as one file

synth: $(installed) ## write the Terraform of main.ts to cdktf.out
	$(TSX) main.ts

setup: $(installed) ## install what the tests need from Debian
	@scripts/setup

clean:
	rm -rf node_modules runtime/dist cdktf.out .cache

# Install scripts stay off (.npmrc): no dependency needs them.
$(installed): package.json package-lock.json runtime/package.json .npmrc
	npm ci
	@touch $@

$(bundle): $(installed) runtime/build.mjs runtime/package.json $(shell find runtime/src runtime/node-scripts -type f -not -name '*.test.ts')
	node runtime/build.mjs
