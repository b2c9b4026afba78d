.PHONY: help local test e2e bench lint fuzz

help: ## What there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

local: ## The whole system on this machine, until Ctrl-C
	go run ./cmd/sandbox

test: ## Everything to run before a commit, race detector on
	go test -race ./...

e2e: ## The whole system deployed, called, changed and destroyed in the sandbox; some 11 minutes
	go test -tags e2e -count=1 -timeout 30m -run '^TestEndToEnd' -v ./internal/sandbox

bench: ## Speed and size, each against its reference, into bench/RESULTS.md; some 9 minutes
	go run ./bench

lint: ## gofmt, vet, staticcheck, workflows, go.mod in order
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run: gofmt -w .'; exit 1; }
	go vet -tags e2e ./...
	go tool staticcheck -tags e2e ./...
	go tool actionlint
	go mod tidy -diff

fuzz: ## Each fuzz test for 20 seconds
	@for package in . ./components ./function ./audit ./cmd/audit ./internal/iampolicy ./internal/sandbox; do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime 20s -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done
