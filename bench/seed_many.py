#!/usr/bin/env python3
"""Makes the data directory of 5,000 listeners that start.sh (kind many) and change.py start from: bench/out/many.

The listeners are the harness's own: 127.1.x.y:8080, each with a load balancer, pool and member of its own. Takes some
minutes, once; `--again` makes it anew. Prints what creating them cost.
"""

import subprocess
import sys
import threading
import time

from client import HEAD, OUT, Server, binary, machine, row

LISTENERS = 5_000
DIRECTORY = OUT / "many"
STAMP = DIRECTORY / "stamp"
CALLERS = 4


def addresses():
    """The harness's addresses, in its order."""
    return [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(LISTENERS)]


def version():
    """What the binary says that it is."""
    return subprocess.run([binary(), "version"], capture_output=True, text=True, check=True).stdout


def stamp():
    """What the seed belongs to; another version of the binary makes its own."""
    return version() + f"{LISTENERS} listeners\n"


def ready():
    """Whether the seed is there."""
    return STAMP.exists() and STAMP.read_text() == stamp()


def ensure(again=False):
    """Makes the seed unless it is there; answers its directory."""
    if ready() and not again:
        return DIRECTORY
    print(f"making {LISTENERS} listeners in {DIRECTORY}, once", file=sys.stderr)
    server = Server(DIRECTORY)
    server.start()
    api = server.wait_ready()
    apis = [api] + [type(api)(server.data / "credentials.json") for _ in range(CALLERS - 1)]
    todo, took, failed = addresses(), [], []

    def work(api):
        while todo and not failed:
            vip = todo.pop()
            begun = time.monotonic()
            try:
                api.forward(vip, 8080, "HTTP", "127.0.0.1:9")
            except (RuntimeError, OSError) as problem:
                failed.append(problem)
            took.append(time.monotonic() - begun)
    threads = [threading.Thread(target=work, args=(api,)) for api in apis]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    if failed:
        raise SystemExit(f"seed: {failed[0]}")
    STAMP.write_text(stamp())
    print(f"{machine()}; {LISTENERS} listeners in {time.monotonic() - begun:.0f} s with {CALLERS} callers\n\n{HEAD}\n"
          + row("load balancer + pool + member + listener", took))
    return DIRECTORY


if __name__ == "__main__":
    ensure("--again" in sys.argv)
