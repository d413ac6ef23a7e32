# The two main commands are `make rehearse` and `make test`; both install what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help rehearse lab test test-slow check unit crash-test conformance hosts-test cluster cluster-test cluster-test-all bench figures rooms picture bundle synth setup clean

SCENARIO ?= patch
RUN := npm run --silent
bundle := runtime/dist/k8s-upgrade.cjs
installed := node_modules/.package-lock.json
# Scenarios that `make conformance` plays on a real control plane: many commands for each start of one.
# Drains and whole upgrades are those of `make cluster-test`.
on_real := $(addprefix test/scenarios/,commands.test.ts gates.test.ts)

help: ## print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

rehearse: $(bundle) ## run the whole pipeline in the embedded lab; SCENARIO=list lists all scenarios
	@$(RUN) rehearse -- --scenario $(SCENARIO)

lab: $(bundle) ## start the lab and keep it running, to use kubectl, ssh and the CLI yourself
	@$(RUN) lab

test: setup $(bundle) check unit ## the static checks, unit and lab tests

check: $(bundle) ## static checks only: format, lint, types, dead code, imports, comments, shellcheck
	$(RUN) lint
	$(RUN) types
	$(RUN) deadcode
	$(RUN) rooms
	$(RUN) comments
	shellcheck --check-sourced $$(git ls-files '*.sh' scripts .ci | xargs grep -lE '^#!.*(bash|sh)$$')

unit: $(bundle) ## the tests of `make test`, without the checks
	@mkdir -p .cache
	$(RUN) unit

crash-test: $(bundle) ## kill the executor at its calls, check how each run ends; CRASH=all for every call
	@$(RUN) crash-test

test-slow: setup $(bundle) ## whole upgrades with failures, the runbook's commands, other versions of Node.js
	@mkdir -p .cache
	$(RUN) unit-slow

conformance: setup $(bundle) ## the lab and the pipeline against a real control plane, built once with Go
	@mkdir -p .cache
	@test/conformance/build.sh
	@test/conformance/terraform/build.sh
	npx vitest run --project conformance --reporter=default --reporter=json --outputFile.json=.cache/tests-conformance.json
	LAB_API=real npx vitest run $(on_real) --reporter=default --reporter=json --outputFile.json=.cache/tests-conformance-scenarios.json

hosts-test: setup $(bundle) ## upgrades on hosts with real sshd, apt, dpkg, etcd, in namespaces (Linux, root)
	@test/hosts/setup.sh
	@test/hosts/run.sh

cluster: setup $(bundle) ## boot and keep a real kubeadm cluster; TOPOLOGY=1+2, 3+1, 1+0 (Linux, root, Go)
	@test/cluster/setup.sh
	@test/cluster/run.sh serve $(TOPOLOGY)

cluster-test: setup $(bundle) ## upgrade real kubeadm clusters: the part that CI plays (Linux, root, Go)
	@test/cluster/setup.sh
	@test/cluster/run.sh test

cluster-test-all: setup $(bundle) ## all upgrades of real kubeadm clusters
	@test/cluster/setup.sh
	@CLUSTER=all test/cluster/run.sh test all

bench: setup $(bundle) ## measure cold start, synthesis, overhead, rehearsal and a real upgrade
	@$(RUN) bench
	@test/cluster/setup.sh
	@test/cluster/run.sh bench

figures: $(installed) ## write the totals of the last complete CI run into docs/testing.md
	@$(RUN) figures

picture: $(bundle) ## draw what `make rehearse` prints as docs/rehearsal.svg
	@$(RUN) picture

rooms: $(installed) ## write the rooms of the runtime and their imports into docs/architecture/rooms.md
	node scripts/rooms.mjs

bundle: $(bundle) ## build the runtime as one file

synth: $(installed) ## write the Terraform of main.ts to cdktf.out
	$(RUN) synth

setup: $(installed) ## install the Debian packages that the tests need
	@scripts/setup

clean:
	rm -rf node_modules runtime/dist cdktf.out .cache

# Not `npm ci`: it refuses a lock file without the packages for other platforms, which not every mirror has.
# Install scripts stay off: no dependency needs them.
$(installed): package.json package-lock.json runtime/package.json .npmrc
	npm install --no-save --ignore-scripts
	@touch $@

# The build also writes the scripts that tests read. It leaves those that are up to date, so their times say
# nothing; a missing one counts as newer than the bundle.
scripts := $(patsubst runtime/%,runtime/dist/%,$(wildcard runtime/node-scripts/*.sh))
missing := $(filter-out $(wildcard $(scripts)),$(scripts))
$(missing): ;

$(bundle): $(installed) runtime/build.mjs runtime/node-scripts.mjs runtime/package.json $(missing) $(shell find runtime/src runtime/node-scripts -type f -not -name '*.test.ts')
	$(RUN) bundle
