# `make help` lists the targets.

.PHONY: help train lite test dist wheel check docs bench libtorch tensorboard interop scale e2e serve-api fuzz faults load audit
# Cargo resolves its own dependencies; two recipes at once would only wait for its lock.
.NOTPARALLEL:
# In the workspace whose tch fits the libtorch that was found, see scripts/libtorch.sh.
cargo = cd .libtorch/workspace && cargo

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-11s %s\n", $$1, $$2 }'

libtorch: ## Find or install libtorch (CUDA=1: with CUDA, CUDA=0: without, TCH=0.24: for that tch)
	@CUDA="$(CUDA)" TCH="$(TCH)" scripts/libtorch.sh

train: libtorch ## Set up, build, train on MNIST, save, evaluate
	$(cargo) build --release
	target/release/mnist train
	target/release/mnist evaluate

lite: ## Build and test the program without libtorch, which needs Rust alone
	cargo test --workspace --locked --no-default-features --features serve --target-dir target/lite
	cargo build --release --locked --no-default-features --features serve --target-dir target/lite

test: libtorch ## Set up and run every test
	$(cargo) test --workspace

dist: libtorch ## Pack the program, with libtorch beside it and without, as tarballs, and try them
	scripts/dist.py tar
	scripts/test_dist.sh tar

wheel: libtorch ## Pack the program as wheels for Python, and try them
	scripts/dist.py wheel
	scripts/test_dist.sh wheel

check: libtorch ## Formatting, lints, rustdoc, and the documentation's examples and links
	cargo fmt --all --check
	cargo fmt --check --manifest-path bench/peers/candle/Cargo.toml
	$(cargo) clippy --workspace --all-targets -- -D warnings
	export RUSTDOCFLAGS="-D warnings"; $(cargo) doc --no-deps --workspace
	$(cargo) build
	python3 scripts/docs.py --check

docs: libtorch ## Run the examples in the documentation and update what they print (FRESH=1: times, too)
	$(cargo) build
	python3 scripts/docs.py $(if $(FRESH),--fresh)

bench: libtorch ## Measure beside PyTorch, Keras, candle (ROUNDS=5 JOBS=a,b,c,d,f,g DEVICE=cpu KEEP=1)
	python3 bench/run.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(JOBS),--jobs $(JOBS)) $(if $(DEVICE),--device $(DEVICE)) $(if $(KEEP),--keep)

tensorboard: libtorch ## Check event files with TensorBoard's own reader
	[ -e .tensorboard/tensorboard ] || python3 -m pip install --quiet --target .tensorboard -r scripts/tensorboard.txt
	$(cargo) build --release
	rm -rf .tensorboard/log
	target/release/mnist train --hidden 32 --epochs 3 --validation-split 0.1 --log-dir .tensorboard/log --output .tensorboard/log/mnist.ot
	PYTHONPATH=.tensorboard python3 scripts/check_tensorboard.py .tensorboard/log .tensorboard/log/mnist.json

interop: libtorch ## Compare with Keras, PyTorch and onnxruntime over MNIST's test set
	cmp -s scripts/interop.txt .interop/installed || rm -rf .interop
	[ -e .interop ] || python3 -m pip install --quiet --no-deps --target .interop -r scripts/interop.txt
	cp scripts/interop.txt .interop/installed
	$(cargo) build --release --bin mnist --example probabilities
	PYTHONPATH=.interop python3 scripts/interop.py .interop/files

scale: libtorch ## Show a batch and a comparison on a Ray cluster on this machine, with kills (PAGES=60)
	cmp -s scale/requirements.txt .scale/installed || rm -rf .scale
	[ -e .scale ] || python3 -m pip install --quiet --no-deps --target .scale/ray -r scale/requirements.txt
	cp scale/requirements.txt .scale/installed
	$(cargo) build
	PYTHONPATH=$(CURDIR)/.scale/ray python3 scale/show.py target/debug/mnist .scale/show $(PAGES)

# MNIST=target/lite/release/mnist tries a program that is built already.
serve-api: $(if $(MNIST),,libtorch) ## Try the interface of mnist serve with schemathesis and Triton's client (EXAMPLES=100)
	cmp -s scripts/serve.txt .serve-api/installed || rm -rf .serve-api
	[ -e .serve-api ] || python3 -m pip install --quiet --no-deps --target .serve-api -r scripts/serve.txt
	cp scripts/serve.txt .serve-api/installed
	$(if $(MNIST),,$(cargo) build --release --bin mnist)
	PYTHONPATH=.serve-api python3 scripts/serve_api.py $(or $(MNIST),target/release/mnist) $(EXAMPLES)

e2e: $(if $(MNIST),,libtorch) ## Draw and photograph in a browser (needs Node.js and Chromium; CHROMIUM=path)
	$(if $(MNIST),,$(cargo) build --release)
	cd tests/e2e && npm ci --silent --no-audit --no-fund && \
		MNIST="$(MNIST)" CHROMIUM="$(CHROMIUM)" node --test --test-concurrency=1 page.test.mjs

SECONDS ?= 1200
fuzz: libtorch ## Fuzz each reader for SECONDS=1200 (needs a nightly Rust)
	cargo fuzz --version 2>/dev/null || cargo install --locked cargo-fuzz@0.13.2
	for target in "idx fuzz/seeds/idx" "decode fuzz/seeds/image" "image fuzz/seeds/image" "records fuzz/seeds/records" \
			"weights fuzz/seeds/weights tests/fixtures/interop" "runs fuzz/seeds/runs"; do \
		set -- $$target && target=$$1 && shift && mkdir -p fuzz/corpus/$$target && \
		features= && if [ $$target = runs ]; then features="--features torch"; fi && \
		(cd .libtorch/workspace && cargo +nightly fuzz run -s none $$features $$target fuzz/corpus/$$target $$@ -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1) || exit 1; \
	done

faults: libtorch ## Kill the program 200 times, and let it run out of space
	$(cargo) test --release --test suite -- faults:: --include-ignored --nocapture

load: libtorch ## A million images, and ten thousand training runs in one process
	$(cargo) test --release --test suite -- load:: --include-ignored --nocapture --test-threads 1

audit: ## Check dependencies for licences and known vulnerabilities (fetches RustSec's list)
	cargo deny --version 2>/dev/null || cargo install --locked cargo-deny@0.20.2
	cargo deny check
