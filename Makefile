# What a person types here. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Alibaba Cloud's functions; AWS's are known to template.yaml.
FC_FUNCTIONS := detect webhook sync-alibaba-waf sync-tencent refresh-intel
LAMBDA_FUNCTIONS := sync-aws-waf

GOLANGCI := build/tools/golangci-lint
FUZZTIME ?= 20s

.PHONY: help run tracewall test fmt lint cover fuzz bench bench-waf bench-clouds build build-SyncAwsWafFunction package-aws package-ali invoke clean

help: ## list the targets
	@awk -F ':.*## ' '/^[A-Za-z-]+:.*## /{printf "  make %-26s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# exec: the system takes this shell's place, so that Ctrl-C and a signal to make reach
# it. Where util-linux is, it also ends when make is killed without a chance to say so.
WITH_MAKE := $(shell command -v setpriv >/dev/null 2>&1 && setpriv --pdeathsig TERM true 2>/dev/null && echo setpriv --pdeathsig TERM)
run: tracewall ## the whole system on this laptop, with an attack; ARGS="--once", ARGS="--term 2m", …
	@exec $(WITH_MAKE) build/tracewall local $(ARGS)

# Always asks go, which knows better than file times what is out of date.
tracewall: ## build the operator's command, build/tracewall (needs a C compiler for the local Log Service)
	@mkdir -p build
	@CGO_ENABLED=1 go build -o build/tracewall ./scripts/tracewall

test: ## every test
	go test -race -shuffle=on -timeout=15m ./...

fmt: $(GOLANGCI) ## format the code as lint wants it
	$(GOLANGCI) fmt

lint: $(GOLANGCI) ## formatting, vet, golangci-lint, template.yaml
	@unformatted=$$(gofmt -l functions shared infra scripts); \
	if [ -n "$$unformatted" ]; then echo "gofmt: run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	CGO_ENABLED=0 go vet ./functions/...
	$(GOLANGCI) run
	scripts/lint_cfn.sh

# Pinned in a module of its own, so that no linter is a dependency of what we ship.
$(GOLANGCI): scripts/tools/go.mod scripts/tools/go.sum
	@echo "building golangci-lint, once (about two minutes on two cores)"
	@mkdir -p build/tools
	@cd scripts/tools && go build -o ../../build/tools/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

cover: ## test coverage by package, and build/cover.html
	@mkdir -p build
	go test -coverpkg=./functions/...,./shared/... -coverprofile=build/cover.out ./functions/... ./shared/...
	go tool cover -html=build/cover.out -o build/cover.html
	go tool cover -func=build/cover.out | tail -1

fuzz: ## each fuzz target for FUZZTIME (20s)
	@scripts/fuzz.sh $(FUZZTIME)

bench: tracewall ## speed: end to end, per function, Redis, and the packages' own benchmarks
	@build/tracewall bench $(ARGS)
	go test -run='^$$' -bench=. -benchmem ./shared/...

bench-waf: tracewall ## what AWS WAF costs, against what is promised; ARGS="--simulate", "--million", "--quick", "--json"
	@build/tracewall bench-waf $(ARGS)

bench-clouds: tracewall ## one list of 50,000 on the walls of three clouds; ARGS="--quick", "--json"
	@build/tracewall bench-clouds $(ARGS)

build: ## the functions as they are deployed, with their sizes
	@for f in $(FC_FUNCTIONS); do scripts/build.sh $$f build/$$f/main; done
	@for f in $(LAMBDA_FUNCTIONS); do scripts/build.sh $$f build/$$f/bootstrap; done

# sam build calls this with ARTIFACTS_DIR set (Metadata: BuildMethod: makefile).
build-SyncAwsWafFunction:
	@test -n "$(ARTIFACTS_DIR)" || { echo "sam build sets ARTIFACTS_DIR; by hand, use make build"; exit 2; }
	@scripts/build.sh sync-aws-waf "$(ARTIFACTS_DIR)/bootstrap"

package-aws: ## build/sync-aws-waf.zip, for Lambda without SAM
	@for f in $(LAMBDA_FUNCTIONS); do scripts/package.sh $$f; done

package-ali: ## build/NAME.zip of each function on Function Compute, without s
	@for f in $(FC_FUNCTIONS); do scripts/package.sh $$f; done

EVENT ?=
invoke: ## one function through its runtime API: make invoke FUNC=detect EVENT=events/….json
	@if [ -z "$(FUNC)" ] || [ -z "$(EVENT)" ]; then \
		echo "usage: make invoke FUNC=NAME EVENT=FILE"; \
		echo "functions: $$(ls functions | tr '\n' ' ')"; echo "events:    $$(ls events | tr '\n' ' ')"; exit 2; fi
	@$(MAKE) tracewall
	@exec build/tracewall invoke $(FUNC) -e $(EVENT) $(ARGS)

clean: ## remove what was built
	rm -rf build .aws-sam .s
