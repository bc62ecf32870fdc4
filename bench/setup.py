#!/usr/bin/env python3
"""Makes what the harness asked for on a server that start.sh is just starting: one listener, or, for kind many, the right member.
Kind rules needs nothing: seed_rules.py made it all before.

Usage: setup.py KIND DATA ENDPOINT. Runs beside the server, outside its process tree.
"""

import os
import sys
import time
from pathlib import Path

from client import Api

SECONDS = 18  # the harness gives up after 20


def api_when_ready(data, endpoint):
    """The API as soon as it answers."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            return Api(Path(data) / "credentials.json", endpoint)
        except (OSError, ValueError, RuntimeError) as problem:
            if time.monotonic() > until:
                raise SystemExit(f"setup: the API at {endpoint} does not answer: {problem}")
            time.sleep(0.02)


def main():
    kind, data, endpoint = sys.argv[1:]
    backend = os.environ["BENCH_BACKEND"]
    api = api_when_ready(data, endpoint)
    vip, port = os.environ["BENCH_LISTEN"].rsplit(":", 1)
    if kind == "many":
        # The seed's members name the port of an older run. Only the last listener is asked for anything: its member is moved.
        lb = api.get(f"loadbalancers?vip_address={vip}")["loadbalancers"][0]
        pool = api.get(f"pools?loadbalancer_id={lb['id']}")["pools"][0]["id"]
        for member in api.get(f"pools/{pool}/members")["members"]:
            api.delete(f"pools/{pool}/members/{member['id']}")
        api.member(pool, backend)
    elif kind in ("tls-ecdsa", "tls-rsa", "h2", "h3"):
        pem = {name: Path(os.environ[f"BENCH_{variable}"]).read_text() for name, variable in (("certificate", "CERT"), ("private_key", "KEY"))}
        certificate = api.create("certificates", "certificate", **pem)
        how = {"http2_enable": kind == "h2", "tls_ciphers_policy": "tls-1-2-fs-with-1-3"} if kind != "h3" else {}
        api.forward(vip, int(port), "QUIC" if kind == "h3" else "HTTPS", backend, default_tls_container_ref=certificate["id"], **how)
    else:
        api.forward(vip, int(port), {"http": "HTTP", "http-log": "HTTP", "tcp": "TCP", "udp": "UDP"}[kind], backend, logged=kind == "http-log")


main()
