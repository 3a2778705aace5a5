# `make help` lists the targets. All of them work from a fresh clone with Go.

N         ?= 100000
D         ?= 500000000
TESTFLAGS ?=
# The number of packages tested in parallel. It is above the number of cores, because
# some tests mostly wait.
PACKAGES  ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# The packages whose tests take longest, most of it waiting. They begin first, so that no single
# one is left at the end.
SLOWEST   := ./internal/systemtest/torture ./internal/access
# `make check` tests with the race detector where it can find something. It does not need it for pages,
# the command line and whole programs: their tests spend most of the time in browsers and in programs
# that they start, and all that they call is tested with it. Nor for a package none of whose files,
# its tests included, starts a goroutine or shares memory.
WHOLE     := /(deploy|internal/(cli|web|systemtest/(abuse|client|health|layout|routes|secrets)))(/|$$)
RACY      := grep -lErs --include='*.go' '^[[:space:]]*go (func|[a-zA-Z]+[.(])|sync\.|synctest\.|atomic\.|errgroup' * | sed 's|/[^/]*$$||; s|^|postern/|' | sort -u
GENERATED := schemas deploy/nats-users.conf internal/store/schema.sql docs/states.md docs/cli.md client

.DEFAULT_GOAL := help
.PHONY: help setup postgres build man run test check compiler generated format lint bench bench-pages bench-record torture assets docs-lint screenshots sbom licences supply bench-export bench-poison bench-webhook bench-onto

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: postgres ## install PostgreSQL, and Chromium for the tests, if missing; says so first
	@sh tools/setup.sh browser || { test "$$CI" != true && echo "setup: continuing without Chromium: NO PAGE WILL BE TESTED IN A BROWSER" >&2; }
	@test "$$CI" != true || sh tools/setup.sh scanner # elsewhere its package would start services that stay

postgres:
	@sh tools/setup.sh postgres

build: ## build bin/postern and the four processes
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

man: build ## write a man page for each verb of postern to bin/man
	bin/postern man bin/man

run: postgres build ## the whole system with demo data at http://127.0.0.1:8080, data in ./data
	@exec bin/postern up --demo --data ./data

test: setup ## every test, with real NATS and real PostgreSQL (TESTFLAGS=…)
	all=$$(go list ./...); racy=$$(echo "$$all" | grep -xF "$$($(RACY))" | grep -vE '$(WHOLE)'); \
	export GOTMPDIR=$${TMPDIR:-/tmp} TMPDIR=$$(sh tools/setup.sh scratch); \
	test -n "$$racy" && go test -timeout 20m -p $(PACKAGES) $(TESTFLAGS) $$(echo "$$all" | grep -vxF "$$racy") && \
	go test -C internal/systemtest/provider -timeout 20m $(TESTFLAGS) ./... && \
	$(RACE) go test -timeout 20m -p $(PACKAGES) $(TESTFLAGS) $(SLOWEST) $$racy
	@sh tools/setup.sh have browser || echo "make test: NO PAGE WAS TESTED IN A BROWSER: there is no Chromium on this machine" >&2
	@sh tools/setup.sh have scanner || echo "make test: NO DOCUMENT WAS SCANNED BY A REAL VIRUS SCANNER: run sh tools/setup.sh scanner to install ClamAV" >&2

# All steps compile in one way, as programs ship, so that each reuses Go's build cache from the step
# before; except for the tests with the race detector, which needs a C compiler. Programs are linked
# without the tables for debuggers (-w), which takes 40 % less time: there are about 150 of them.
check: export GOFLAGS := $(GOFLAGS) -ldflags=-w
check: export CGO_ENABLED := 0
check: RACE := CGO_ENABLED=1 GOFLAGS="$(GOFLAGS) -race"
check: TESTFLAGS += -vet=off # lint runs vet
check: compiler generated format lint supply test ## the whole gate, as in CI

compiler:
	@sh tools/setup.sh compiler

generated: ## check that generated files are committed
	go generate ./...
	git diff --exit-code -- $(GENERATED)

format: ## check that every file is formatted with gofmt
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }

lint: export GOGC := 400 # a quarter less time, for more memory
lint: ## go vet, gosec and staticcheck, from tools/go.mod
	CGO_ENABLED=0 go build -C tools -o ../bin/tools/ honnef.co/go/tools/cmd/staticcheck ./vet
	go vet -vettool=bin/tools/vet ./...
	bin/tools/staticcheck ./...
	go vet -C internal/systemtest/provider -vettool=$(CURDIR)/bin/tools/vet ./...
	cd internal/systemtest/provider && ../../../bin/tools/staticcheck ./...

SUPPLY := CGO_ENABLED=0 go build -C tools -o ../bin/tools/

sbom: build ## what the programs are made of, as CycloneDX: bin/sbom.cdx.json
	$(SUPPLY) ./supply
	bin/tools/supply sbom bin/api bin/fanout-worker bin/notify-worker bin/postern bin/recorder >bin/sbom.cdx.json

licences: ## write docs/licences.md: of all that is linked or embedded
	$(SUPPLY) ./supply
	bin/tools/supply licences >bin/licences.md
	mv bin/licences.md docs/licences.md

supply: ## check the SBOM and the licences, and known vulnerabilities where their database can be reached
	go test -C tools ./supply
	$(SUPPLY) ./supply golang.org/x/vuln/cmd/govulncheck
	bin/tools/supply vulnerabilities bin/tools/govulncheck

bench: postgres build ## measure (N=100000 recipients), print a table, write bench.json
	go run ./bench -n $(N)

bench-poison: ## how long events wait if one in a thousand can't be handled
	go test -run '^$$' -bench Poison -benchtime 3x ./internal/eventlog/consume

bench-pages: postgres build ## every list, search and record page, with a million portal users, 100,000 messages, 650,000 events
	go run ./bench -pages

bench-record: postgres build ## the record: append, verify, receipt, rebuild, exports (N=1000000 deliveries)
	go run ./bench -record -n $(if $(filter command line environment,$(origin N)),$(N),1000000)

bench-onto: postgres build ## blasts and inboxes after D=500000000 earlier deliveries (N=1000000 recipients)
	go run ./bench -n $(if $(filter command line environment,$(origin N)),$(N),1000000) -onto $(D)

bench-export: postgres ## a million rows of the record as CSV: rows a second, and constant memory
	go test ./internal/record/export -run TestMemoryDoesNotGrow -count 1 -v -timeout 30m -rows 1000000

torture: postgres ## kill every process, many times, for hours; outages of a minute; a failing SendGrid
	go test ./internal/systemtest/torture -run 'Torture|Outages|WorstDay' -torture.long -timeout 3h -v

bench-webhook: postgres build ## SendGrid's reports on a blast (N=100000), at full speed and at 10,000 a second
	go run ./bench -webhook -n $(N)

assets: ## update the pages' style and scripts from npm (the only target that needs Node)
	cd assets && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent build

docs-lint: ## check openapi.json with redocly lint, as `make check` does without Node by TestDescriptionRules
	cd assets && npm ci --ignore-scripts --no-audit --no-fund && node_modules/.bin/redocly lint ../schemas/openapi.json

screenshots: setup ## take the pictures in docs/screenshots again
	go test ./internal/web -run TestScreenshots -count 1 -screenshots "$(CURDIR)/docs/screenshots"
