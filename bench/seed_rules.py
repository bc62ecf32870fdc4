#!/usr/bin/env python3
"""Makes the data directory of 10,000 forwarding policies that start.sh (kind rules) starts from: bench/out/rules.

Each policy has a host and a path prefix and sends to one of ten pools, as the harness's rules.csv says. Takes some minutes, once;
`--again` makes it anew; prints what creating them cost. `--move-to DIR LISTEN BACKEND` copies the seed with the ports of this
run, which is done in the database, because a listener's port cannot be changed by the API.
"""

import shutil
import sqlite3
import sys
import time
from pathlib import Path

from client import HEAD, OUT, Server, binary, machine, row, write_config
from seed_many import version

RULES = 10_000
POOLS = 10
DIRECTORY = OUT / "rules"
STAMP = DIRECTORY / "stamp"
ADDRESS, LISTEN_PORT, MEMBER_PORT = "127.0.0.1", 9998, 9


def stamp():
    """What the seed belongs to; another version of the binary makes its own."""
    return version() + f"{RULES} policies\n"


def ensure(again=False):
    """Makes the seed unless it is there; answers its directory."""
    if STAMP.exists() and STAMP.read_text() == stamp() and not again:
        return DIRECTORY
    print(f"making {RULES} policies in {DIRECTORY}, once", file=sys.stderr)
    server = Server(DIRECTORY)
    server.start()
    api = server.wait_ready()
    lb = api.load_balancer(ADDRESS)
    pools = [api.create("pools", "pool", loadbalancer_id=lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")["id"] for _ in range(POOLS)]
    for pool in pools:
        api.member(pool, f"{ADDRESS}:{MEMBER_PORT}")
    listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=LISTEN_PORT)
    took, begun = [], time.monotonic()
    for number in range(RULES):
        rules = [{"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": f"h{number}.bench.test"},
                 {"type": "PATH", "compare_type": "STARTS_WITH", "value": f"/p{number}/"}]
        before = time.monotonic()
        api.create("l7policies", "l7policy", listener_id=listener["id"], action="REDIRECT_TO_POOL", redirect_pool_id=pools[number % POOLS], rules=rules)
        took.append(time.monotonic() - before)
    server.stop()
    STAMP.write_text(stamp())
    print(f"{machine()}; {RULES} policies in {time.monotonic() - begun:.0f} s\n\n{HEAD}\n" + row("policy with two rules", took)
          + "\n" + row("the last 1,000 of them", took[-1000:]))
    return DIRECTORY


def move(to, listen, backend):
    """A copy of the seed that listens and forwards elsewhere."""
    if not STAMP.exists():
        raise SystemExit(f"kind rules starts from a data directory made before: run {Path(__file__).resolve()}")
    shutil.copytree(DIRECTORY / "data", to / "data", ignore=shutil.ignore_patterns("last-good-plan*", "*.lock"))
    write_config(to)
    port, member = listen.rsplit(":", 1)[1], backend.rsplit(":", 1)[1]
    with sqlite3.connect(to / "data" / "fulcrum.db") as store:
        store.execute("UPDATE objects SET body = replace(body, ?, ?) WHERE kind = 'listener'", (f'"port":{LISTEN_PORT},', f'"port":{port},'))
        store.execute("UPDATE objects SET body = replace(body, ?, ?) WHERE kind = 'member'", (f'"port":{MEMBER_PORT},', f'"port":{member},'))
        store.execute("UPDATE claims SET key = replace(key, ?, ?)", (f"/tcp/{LISTEN_PORT}", f"/tcp/{port}"))
        store.execute("UPDATE claims SET key = replace(key, ?, ?) WHERE key LIKE 'member/%'", (f"{ADDRESS}:{MEMBER_PORT}", backend))
    store.close()


if __name__ == "__main__":
    binary()
    if sys.argv[1:2] == ["--move-to"]:
        move(Path(sys.argv[2]), *sys.argv[3:5])
    else:
        ensure("--again" in sys.argv)
