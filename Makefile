# `make test` is everything, and what CI runs. It installs what it needs: see tests/clients/run.
# `make check` is the quick part: formatting, lints, docs, and the tests that need nothing but Rust.

# More crates than this need a reason in the commit.
CRATES_MAX = 170

.PHONY: test test-long check lint crates rust clients bench

test: check clients bench

check: lint crates rust

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

crates:
	@count=$$(cargo tree --package tidings-cli --edges normal,build --prefix none --locked | sed 's/ .*//' | sort -u | wc -l); \
	echo "$$count crates compiled for the server, $(CRATES_MAX) are the most"; \
	test $$count -le $(CRATES_MAX)

rust:
	cargo test --workspace --locked

clients:
	cargo build --release --locked
	tests/clients/run

# What takes long: 200 times killed under load, 100,000 webhooks through every kind of trouble.
test-long:
	cargo build --release --locked
	KILL_CYCLES=200 tests/clients/run suites/inbox-kill.test.js
	WEBHOOKS=100000 WEBHOOKS_DOWN_MS=60000 tests/clients/run suites/webhooks.test.js

# Short runs that fail when a delivery is lost, doubled or out of order, and instruction counts against their budgets.
bench:
	cargo build --release --locked --package tidings-bench
	benches/smoke
	benches/budget
