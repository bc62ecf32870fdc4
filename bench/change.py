#!/usr/bin/env python3
"""5,000 listeners on one node: start to serving, memory, and the time for one more change to apply.

An API call answers once its change is applied, so the time of the call is the time to apply. For a new listener the first
accepted connection is timed, too. Usage: change.py [CHANGES] (200)
"""

import re
import shutil
import socket
import sys
import time
from pathlib import Path

import seed_many
from client import HEAD, OUT, Member, Server, first_byte, machine, row


def memory_kib(pid):
    """Proportional set size."""
    return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))


def wait_listening(vip, port, process):
    """The moment when it accepts."""
    while process.poll() is None:
        try:
            socket.create_connection((vip, port), 1).close()
            return time.monotonic()
        except OSError:
            time.sleep(0.002)
    raise SystemExit("the server ended")


def main():
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = seed_many.ensure()
    directory = OUT / "change"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(seed, directory)
    server, member = Server(directory, fresh=False), Member()
    begun = server.start()
    addresses = seed_many.addresses()
    try:
        serving = max(wait_listening(vip, 8080, server.process) for vip in (addresses[0], addresses[len(addresses) // 2], addresses[-1])) - begun
        api = server.wait_ready()
        ready = time.monotonic() - begun
        memory = memory_kib(server.process.pid)
        took = {name: [] for name in ("PUT pool", "PUT member weight", "POST listener", "new listener accepts", "DELETE listener")}

        def timed(name, call, *arguments, **fields):
            start = time.monotonic()
            answer = call(*arguments, **fields)
            took[name].append(time.monotonic() - start)
            return answer
        lb = api.get(f"loadbalancers?vip_address={addresses[7]}")["loadbalancers"][0]
        pool = api.get(f"pools?loadbalancer_id={lb['id']}")["pools"][0]["id"]
        path = f"pools/{pool}/members/{api.member(pool, member.address)['id']}"
        for number in range(changes):
            timed("PUT pool", api.update, f"pools/{pool}", "pool", lb_algorithm=["LEAST_CONNECTIONS", "ROUND_ROBIN"][number % 2])
            timed("PUT member weight", api.update, path, "member", weight=number % 100 + 1)
            start = time.monotonic()
            made = timed("POST listener", api.create, "listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=9000, default_pool_id=pool)
            took["new listener accepts"].append(wait_listening(lb["vip_address"], 9000, server.process) - start)
            timed("DELETE listener", api.delete, f"listeners/{made['id']}/force")
        first_byte(lb["vip_address"], 8080)
    finally:
        server.stop()
    print(f"{machine()}; {seed_many.LISTENERS} listeners, one worker\n")
    print(f"start to serving {serving:.2f} s (first, middle and last listener accept), API ready {ready:.2f} s, PSS {memory / 1024:.0f} MiB\n\n{HEAD}")
    for name, seconds in took.items():
        print(row(name, seconds))


main()
