# The folder with pulumi, its AWS plugin and moto, where this machine lacks them: .tools/bin. Says on stderr what it does.
tools = bin="$$(go run ./tools/setup)" && PATH="$$bin:$$PATH"
# The race detector needs a C compiler, without which Go's own default is off.
race = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

picture = go -C tools/picture tool d2 --layout elk --dark-theme 200 --pad 10 ../../docs/architecture.d2

.PHONY: help local test e2e bench lint schema fuzz fresh tokens picture

help: ## What there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

local: ## The whole system on this machine, until Ctrl-C
	@echo 'The first time this takes some 10 minutes; Go names each package that it compiles.'
	go build -v . ./cmd/sandbox
	@$(tools) && go run ./cmd/sandbox

test: ## Everything to run before a commit, race detector on
	@$(if $(race),,echo 'No C compiler (CGO_ENABLED=0): the race detector is off.')
	go build -v $(race) ./...
	go test $(race) ./...
	$(if $(race),go test ./function) # the limits on CPU time, which the race detector would spend

e2e: ## The whole system deployed, called, changed and destroyed in the sandbox; some 25 minutes
	@$(tools) && set -x && for package in ./internal/sandbox/... ./e2e; do \
		go test -tags e2e -count=1 -timeout 60m -run '^TestEndToEnd' -v $$package || exit 1; \
	done

bench: ## Speed and size, each against its reference, into bench/RESULTS.md; BASE=<commit> adds its audit; some 12 minutes
	@$(tools) && go run ./bench $(if $(BASE),-base $(BASE))

lint: ## gofmt, vet, staticcheck, workflows, go.mod in order
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run: gofmt -w .'; exit 1; }
	go vet -tags e2e ./...
	go tool staticcheck -tags e2e ./...
	go tool actionlint
	go mod tidy -diff
	$(picture) - 2>/dev/null | cmp - docs/architecture.svg # in step with its text; else: make picture
	for module in pulumi pulumi-resource-aws; do (cd tools/$$module && CGO_ENABLED=0 go vet -trimpath ./... && CGO_ENABLED=0 go test -trimpath -count=1 ./...) || exit 1; done

schema: ## package/schema.json, after a change of a component's arguments, outputs or their comments
	go test ./package -run '^TestSchema$$' -update

fuzz: ## Each fuzz test for 20 seconds; one that takes 5 minutes has failed
	@for package in . ./function ./audit ./cmd/audit ./internal/iampolicy ./internal/models ./internal/sandbox/apigateway ./internal/subnets; do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			timeout -k 5 300 go test -run '^$$' -fuzz "^$$target$$" -fuzztime 20s -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

fresh: ## make test and make local in a fresh clone, with an empty HOME and a minimal PATH; some 15 minutes
	.ci/fresh

tokens: ## tools/pulumi-resource-aws/tokens.json, after a change of the AWS SDK or of the modules in use
	file="$$(go run ./tools/setup terraform-provider)" && cd tools/pulumi-resource-aws && \
		CGO_ENABLED=0 go run -trimpath ./tokens "$$file" >tokens.new && mv tokens.new tokens.json

picture: ## docs/architecture.svg, out of docs/architecture.d2
	$(picture) ../../docs/architecture.svg
