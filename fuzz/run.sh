#!/bin/sh
# Fuzzes every target for a while: fuzz/run.sh [SECONDS], all targets together, 60 by default.
# Ends with an error, and prints the input, as soon as a property does not hold.
set -eu
cd "$(dirname "$0")/.."

total=${1:-60}
targets="client_hello cookie h1_request h1_response h2_client h3_stream ocsp_answer pem proxy_protocol quic_header template udp_flows"
each=$((total / $(echo $targets | wc -w)))
if [ "$each" -lt 1 ]; then each=1; fi

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --locked cargo-fuzz --version 0.13.2
fi
# cargo-fuzz passes flags that rustc takes on nightly only; this makes the stable one take them.
export RUSTC_BOOTSTRAP=1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in $targets; do
    mkdir -p "fuzz/corpus/$target"
    echo "fuzz: $target for $each s"
    # Where a target's input is no language, it has no words.
    dict=fuzz/${target%_re*}.dict
    if [ ! -f "$dict" ]; then dict=; fi
    # The codecs have no unsafe code, so a sanitizer finds nothing that a panic does not: without one it is faster.
    if ! cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        ${dict:+"-dict=$dict"} -max_total_time="$each" -max_len=4096 -timeout=5 -print_final_stats=1 >"$log" 2>&1; then
        grep -v '^#' "$log"
        echo "fuzz: $target found something; fuzz/README.md says how to look at it" >&2
        exit 1
    fi
    grep -E '^stat::number_of_executed_units' "$log"
done
