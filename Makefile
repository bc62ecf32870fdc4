# Works on a fresh Debian 12 with Rust, Python and Node; what is missing beside them is installed (as root) or named.

FULCRUM := target/release/fulcrum
VENV := .venv
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 60
# What pytest runs: `make pytest PYTEST=tests/sdk`, or one test by `PYTEST="tests/sdk -k paging"`.
PYTEST ?= tests
# Which scenarios are measured, and with which options.
BENCH ?= h1-small h1-64k h1-1m h1-post h1-chunked h1-conn h1-rate h1-log rules-10k tcp-small tcp-1m tcp-conn \
  tls-small tls-1m tls-hs-ecdsa tls-hs-rsa tls-resumed h2-small h2-64k udp-small idle-http idle-tls start-5k
# The same of HTTP/3, beside the peers of a newer Debian: this one's cannot speak it.
BENCH_H3 ?= h3-small h3-64k
# And of one worker beside two.
BENCH_WORKERS ?= h1-small h1-rate h1-conn conn-rate tcp-small tcp-rate h2-small h2-rate udp-small udp-rate

.DEFAULT_GOAL := help
.PHONY: help run check test fmt clippy docs unit fuzz release pytest soak bench clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: release ## build, and start a load balancer to play with
	$(FULCRUM) up --demo

check: fmt clippy unit ## the fast loop: format, lints, unit tests

test: fmt clippy docs unit fuzz release pytest ## everything that a change must pass

soak: release $(VENV)/installed ## edits and upgrades under load, over and over for SOAK_MINUTES, with another seed each time
	end=$$(( $$(date +%s) + 60 * $(SOAK_MINUTES) )); \
	while [ $$(date +%s) -lt $$end ]; do \
	  export FULCRUM_SEED=$$(date +%s) FULCRUM_EDITS=1000 FULCRUM_UPGRADES=20 FULCRUM_UPGRADE_FLOWS=500; \
	  echo "seed $$FULCRUM_SEED"; \
	  $(VENV)/bin/python -m pytest -c tests/pytest.ini -q tests/operate/test_edits_under_load.py tests/operate/test_upgrade.py || exit 1; \
	done

bench: release ## CPU per request beside HAProxy and nginx; BENCH="h1-small --rounds 3" chooses
	bench/seed_many.py
	bench/seed_rules.py
	bench/bench.py $(BENCH) --candidate 'fulcrum:http,tcp,udp,many,http-log,rules,tls-ecdsa,tls-rsa,h2=bench/start.sh'
	cargo build --release -p dataplane --example h3_load
	-test -x bench/out/newer/nginx-new || bench/newer-peers.sh bench/out/newer
	bench/bench.py $(BENCH_H3) --peers '' --peer haproxy-new:haproxy=bench/out/newer/haproxy-new --peer nginx-new:nginx=bench/out/newer/nginx-new \
	  --reference haproxy-new --candidate 'fulcrum:h3=bench/start.sh'
	bench/bench.py $(BENCH_WORKERS) --peers '' --reference one --candidate 'one:http,tcp,h2,udp=bench/start.sh' \
	  --candidate 'two:http,tcp,h2,udp=env WORKERS=2 bench/start.sh' --candidate 'apart:http,tcp,h2,udp=env WORKERS=2 CORES=0,1 bench/start.sh'
	bench/first_byte.py
	bench/change.py

# -- the steps

fmt: .need-build
	cargo fmt --all --check

clippy: .need-build
	cargo clippy --workspace --all-targets -- -D warnings

docs: .need-build
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

unit: .need-build .need-test
	cargo test --workspace --quiet

fuzz: .need-build .need-test
	fuzz/run.sh $(FUZZ_SECONDS)

release: .need-build
	cargo build --release -p fulcrum

pytest: release $(VENV)/installed
	$(VENV)/bin/python -m pytest -c tests/pytest.ini $(PYTEST)

clean:
	cargo clean
	rm -rf $(VENV) bench/out

# -- what they need

.PHONY: .need-build .need-test
.need-build:
	@scripts/need.sh build
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

.need-test:
	@scripts/need.sh test

$(VENV)/installed: tests/requirements.txt | .need-test
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@
