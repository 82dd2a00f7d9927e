# What can be done here, in one page. Each target first runs build/setup.sh, which installs what is missing and compiles
# RocksDB once per machine; afterwards plain cargo commands work as well.

LISTEN ?= 127.0.0.1:6962
DATA ?= data
NETWORK ?= network
export LISTEN DATA NETWORK

.PHONY: help setup run network stop test dist lint audit bench fuzz torture canaries interop readme

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup:
	@bash build/setup.sh

run: setup ## build the server and serve a log on http://127.0.0.1:6962/logs/main (LISTEN=, DATA=)
	@bash build/run.sh

network: setup ## a log with three witnesses and a monitor, all on this machine (LISTEN=, NETWORK=)
	@bash build/network.sh

stop: ## stop what `make run` or `make network` started, and wait until it has ended
	@bash build/stop.sh

# Programs and tests are built together, with one set of features; the tests then run the programs.
test: setup ## all tests
	cargo build --workspace --release --bins --tests
	cargo test --workspace --release --no-fail-fast

dist: setup ## the programs as they are installed, in target/dist: optimised as a whole, which takes some ten minutes
	cargo build --profile dist --bins -p cairnd -p cairn

lint: setup ## formatting and clippy, as the checks demand them
	@bash build/lint.sh

audit: ## published advisories about our dependencies; installs cargo-deny and cargo-audit, and needs their database
	@bash build/audit.sh

bench: setup ## how fast, as ratios to bare baselines in the same run (takes a while; wants an idle machine)
	@bash benches/run.sh

fuzz: setup ## every parser and the HTTP surface, FUZZ_SECONDS each (default 20)
	@bash build/fuzz.sh

torture: setup ## break the server for real, MINUTES long (default 30; SEED=, ONLY=kill|syscall|power|bitflip|...)
	@bash build/torture.sh

canaries: setup ## builds broken on purpose: each is found by the fault that names it
	@bash build/canaries.sh

interop: setup ## other people's clients, witnesses and makers of requests against ours; needs Go and Python
	@bash tests/interop/run.sh
	@bash tests/interop/witnesses/run.sh
	@bash tests/interop/openapi/run.sh

readme: setup ## the commands of the README and docs/, word by word, in a fresh clone
	@bash tests/readme.sh
