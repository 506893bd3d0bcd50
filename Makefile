# The commands of a developer. `make demo`, `make test` and `make bench` do all
# set-up.

CARGO ?= cargo

.PHONY: help demo test bench lint compat deny docs setup clean

help:
	@echo "make demo   build, start, and preview examples/hello-expo on iOS and Android"
	@echo "make test   install what the tests need and run all of them"
	@echo "make bench  measure against other tools, side by side; make bench ONLY=queue for one part"
	@echo "make lint   formatting and clippy, as CI has them"
	@echo "make compat build a dozen real projects, and write docs/compatibility.md"
	@echo "make deny   licences, duplicates and sources of the dependencies"
	@echo "make docs   generate docs/errors.md and env_templates/ again from the code"

demo:
	@.ci/setup demo
	@examples/demo.sh

setup:
	@.ci/setup test

test: setup
	$(CARGO) nextest run --no-fail-fast

# Whatever it starts is on free ports of loopback and in temporary folders.
bench:
	@.ci/setup bench
	$(CARGO) bench --bench suite -- $(ONLY)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

compat: setup
	$(CARGO) build --bin hivesync
	node tests/compatibility/run.mjs --write

deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

docs:
	UPDATE_DOCS=1 $(CARGO) nextest run generated_

clean:
	rm -rf .demo .compatibility
	$(CARGO) clean
