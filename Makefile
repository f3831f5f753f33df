# `make help` lists the targets.

.PHONY: help train test check bench libtorch
# Cargo resolves its own dependencies; two recipes at once would only wait for its lock.
.NOTPARALLEL:

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

libtorch: ## Find or install libtorch (CUDA=1: with CUDA, CUDA=0: without)
	@CUDA="$(CUDA)" scripts/libtorch.sh

train: libtorch ## Set up, build, train on MNIST, save, evaluate
	cargo build --release
	target/release/mnist train
	target/release/mnist evaluate

test: libtorch ## Set up and run every test
	cargo test

check: libtorch ## Formatting, lints and documentation, warnings denied
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

bench: libtorch ## Time an epoch beside a bare tch loop, and the reading of pictures
	cargo bench --bench epoch
	cargo bench --bench pictures
