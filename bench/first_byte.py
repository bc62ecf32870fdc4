#!/usr/bin/env python3
"""From POST …/loadbalancers to the first byte through a listener, pool and member made after it.

Each run makes a load balancer, a listener, a pool, a member, and asks until the first 200. Prints p50 and p99 of the whole
and of each call. Usage: first_byte.py [RUNS] (500)
"""

import sys
import time

from client import HEAD, OUT, Member, Server, first_byte, machine, row

PORT = 8080


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    server, member = Server(OUT / "first-byte", workers=2), Member()
    server.start()
    api = server.wait_ready()
    took = {name: [] for name in ("POST loadbalancers", "POST listeners", "POST pools", "POST members", "DELETE force-elb", "first byte after the last answer", "whole")}

    def timed(name, call, *arguments, **fields):
        begun = time.monotonic()
        answer = call(*arguments, **fields)
        took[name].append(time.monotonic() - begun)
        return answer
    try:
        for _ in range(runs):
            begun = time.monotonic()
            lb = timed("POST loadbalancers", api.load_balancer)
            listener = timed("POST listeners", api.create, "listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=PORT)
            pool = timed("POST pools", api.create, "pools", "pool", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
            timed("POST members", api.member, pool["id"], member.address)
            answered = time.monotonic()
            first = first_byte(lb["vip_address"], PORT)
            took["first byte after the last answer"].append(first - answered)
            took["whole"].append(first - begun)
            timed("DELETE force-elb", api.delete, f"loadbalancers/{lb['id']}/force-elb")
    finally:
        server.stop()
    print(f"{machine()}; {runs} runs, one after another\n\n{HEAD}")
    for name, seconds in took.items():
        print(row(name, seconds))


main()
