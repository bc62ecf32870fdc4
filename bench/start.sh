#!/bin/sh
# The harness's candidate command: becomes the server of one scenario kind and serves until SIGTERM.
#   ./bench.py quick --candidate 'fulcrum:http,tcp=./start.sh'
# One worker, or as many as $WORKERS says, on the core that the harness gives it, or on those that $CORES says; an access log for kind
# http-log only. What the harness asks for is made through the API by setup.py, which runs outside this
# process's tree and is gone before the load begins; the server itself replaces this shell.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=${FULCRUM_BIN:-$here/../target/release/fulcrum}
kind=${BENCH_KIND:?run by bench.py, which sets BENCH_KIND, BENCH_LISTEN, BENCH_BACKEND and BENCH_DIR}
[ -x "$binary" ] || { echo "no binary at $binary: cargo build --release first, or set FULCRUM_BIN" >&2; exit 2; }

case $kind in
  http | http-log | tcp | udp | tls-ecdsa | tls-rsa | h2 | h3)
    directory=$BENCH_DIR/fulcrum-$kind-$$
    mkdir -p "$directory"
    python3 -c "from pathlib import Path; import sys; sys.path.insert(0, '$here'); from client import write_config; write_config(Path('$directory'), ${WORKERS:-1})" ;;
  many)
    directory=$here/out/many
    [ -f "$directory/stamp" ] || { echo "kind many starts from a data directory made before: run $here/seed_many.py" >&2; exit 2; } ;;
  rules)
    # 10,000 calls take longer than the harness waits, and the port is new each time: a copy of what was made before is moved to it.
    directory=$BENCH_DIR/fulcrum-$kind-$$
    python3 "$here/seed_rules.py" --move-to "$directory" "$BENCH_LISTEN" "$BENCH_BACKEND" || exit 2 ;;
  *)
    echo "kind $kind is not there yet" >&2
    exit 2 ;;
esac

# The API is on a loopback address that no scenario uses. The setup may run on any core, so that it neither takes turns with the
# server nor, at ordinary priority, waits until the load is over.
listen=127.0.0.2:$((20000 + $$ % 10000))
[ "$kind" = rules ] || ( taskset -c "0-$(($(nproc --all) - 1))" python3 "$here/setup.py" "$kind" "$directory/data" "http://$listen" & )
[ -z "${CORES:-}" ] || taskset -pc "$CORES" $$ >/dev/null
exec "$binary" up --data "$directory/data" --config "$directory/bench.toml" --listen "$listen"
