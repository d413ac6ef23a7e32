# The two commands to know are `make rehearse` and `make test`; both do all set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help rehearse lab test test-slow check unit crash-test conformance hosts-test bench figures rooms picture bundle synth setup clean

SCENARIO ?= patch
RUN := npm run --silent
bundle := runtime/dist/k8s-upgrade.cjs
installed := node_modules/.package-lock.json

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

rehearse: $(bundle) ## run the whole pipeline in the embedded lab; SCENARIO=list shows what else it plays
	@$(RUN) rehearse -- --scenario $(SCENARIO)

lab: $(bundle) ## start the lab and keep it running, to try kubectl, ssh and the CLI yourself
	@$(RUN) lab

test: setup $(bundle) check unit ## the static checks, unit and lab tests

check: $(installed) ## static checks only: format, lint, types, dead code, who imports whom, shellcheck
	$(RUN) lint
	$(RUN) types
	$(RUN) deadcode
	$(RUN) rooms
	shellcheck --check-sourced $$(git ls-files '*.sh' scripts .ci | xargs grep -lE '^#!.*(bash|sh)$$')

unit: $(bundle) ## the tests of `make test`, without the checks
	@mkdir -p .cache
	$(RUN) unit

crash-test: $(bundle) ## kill the executor at its calls and check how each run ends; CRASH=all for every call
	@$(RUN) crash-test

test-slow: setup $(bundle) ## whole upgrades that go wrong, the runbook's commands, other versions of Node.js
	@mkdir -p .cache
	$(RUN) unit-slow

conformance: setup $(bundle) ## the lab against a real control plane, built once with Go, and the pipeline on it
	@mkdir -p .cache
	@test/conformance/build.sh
	@test/conformance/terraform/build.sh
	npx vitest run --project conformance --reporter=default --reporter=json --outputFile.json=.cache/tests-conformance.json

hosts-test: setup $(bundle) ## upgrades through hosts with real sshd, apt, dpkg and etcd, in namespaces (Linux, root)
	@test/hosts/setup.sh
	@test/hosts/run.sh

bench: $(bundle) ## the figures: cold start, synthesis, overhead per node, rehearsal
	@$(RUN) bench

figures: $(installed) ## write what the last whole run has counted into docs/testing.md
	@$(RUN) figures

picture: $(bundle) ## draw what `make rehearse` prints as docs/rehearsal.svg
	@$(RUN) picture

rooms: $(installed) ## write the rooms of the runtime and who imports whom into docs/architecture/rooms.md
	node scripts/rooms.mjs

bundle: $(bundle) ## the runtime as one file

synth: $(installed) ## write the Terraform of main.ts to cdktf.out
	$(RUN) synth

setup: $(installed) ## install what the tests need from Debian
	@scripts/setup

clean:
	rm -rf node_modules runtime/dist cdktf.out .cache

# Not `npm ci`: it refuses a lock file without the packages of other platforms, which not every mirror has.
# Install scripts stay off: no dependency needs them.
$(installed): package.json package-lock.json runtime/package.json .npmrc
	npm install --no-save --ignore-scripts
	@touch $@

$(bundle): $(installed) runtime/build.mjs runtime/node-scripts.mjs runtime/package.json $(shell find runtime/src runtime/node-scripts -type f -not -name '*.test.ts')
	$(RUN) bundle
