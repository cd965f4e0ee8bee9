# The tests want Go, and for test and interop the Debian packages of internal/interop/setup.sh.
FUZZ_SECONDS ?= 10
FUZZ_TOTAL   ?= 600
SOAK         ?= 5m

.PHONY: build test check unit fuzz interop soak clean

# build makes ./gatepost.
build:
	CGO_ENABLED=0 go build -trimpath -o gatepost ./cmd/gatepost

# test is all that must pass before a release: installs what is missing, then checks, unit tests, fuzz smoke, interop.
test:
	./internal/interop/setup.sh
	$(MAKE) check unit fuzz interop

# check is what can be seen without running: vet, staticcheck, gofmt.
check:
	go vet -tags interop,soak ./...
	go tool staticcheck -tags interop,soak ./...
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); \
	[ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }

# unit runs the tests that need nothing but Go.
unit:
	go test -race -shuffle=on ./...

# fuzz runs each fuzz target for FUZZ_SECONDS, or less where all would take more than FUZZ_TOTAL seconds together. "go test
# -fuzz" would link a package anew for each of its targets. What is found is made smaller for a second, not the standard minute:
# where goroutines and sockets are at work the same input seldom takes the same way twice, and nothing would go on
# meanwhile. Before Go 1.27 a race can report the end of the time as a failure (golang/go#75804): one that left no failing input is none.
fuzz:
	@set -eu; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; n=0; \
	for file in $$(grep -rl --exclude-dir='.*' --include='*_test.go' '^func Fuzz' *); do \
		n=$$((n + $$(grep -c '^func Fuzz' "$$file"))); dirname "$$file" >>"$$bin/dirs"; \
	done; \
	[ $$n -gt 0 ] || { echo "no fuzz target was found"; exit 1; }; \
	each=$$(($(FUZZ_TOTAL) / n)); [ $$each -lt $(FUZZ_SECONDS) ] || each=$(FUZZ_SECONDS); [ $$each -gt 0 ] || each=1; \
	for dir in $$(sort -u "$$bin/dirs"); do \
		go test -c -fuzz . -o "$$bin/test" "./$$dir"; \
		targets=$$(cd "$$dir" && "$$bin/test" -test.list '^Fuzz'); \
		for f in $$targets; do \
			echo "fuzz $$dir $$f for $${each}s"; \
			if ! (cd "$$dir" && "$$bin/test" -test.run '^$$' -test.fuzz "^$$f\$$" -test.fuzztime "$${each}s" -test.fuzzminimizetime 1s \
				-test.fuzzcachedir "$$(go env GOCACHE)/fuzz/gatepost/$$dir") >"$$bin/out" 2>&1; then \
				cat "$$bin/out"; \
				if grep -q 'Failing input' "$$bin/out" || ! grep -q 'context deadline exceeded' "$$bin/out"; then exit 1; fi; \
			fi; \
			tail -n 2 "$$bin/out"; \
		done; \
	done

# interop runs the binary among real mail programs, and under load; what is missing is skipped, or fails where CI=true.
interop:
	go test -tags interop -count=1 -timeout 20m -v ./internal/interop/...
	go test -tags interop -count=1 -timeout 10m ./greylist ./checks/ratelimit
	go test -tags interop -count=1 -timeout 10m -v ./internal/soak

# soak lets good and bad clients at the binary for SOAK, while the mail server and the DNS behind it fail in turn.
soak:
	GATEPOST_SOAK=$(SOAK) go test -tags soak -count=1 -timeout 24h -v ./internal/soak

# clean removes what the other targets made.
clean:
	rm -rf gatepost .cache
