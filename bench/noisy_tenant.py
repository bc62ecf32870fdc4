#!/usr/bin/env python3
"""What a quiet tenant notices of a noisy one: how long its requests take, alone and while the other's listener is attacked.

Both have a load balancer of their own on one node. The quiet one has a kept connection of HTTP/1.1 and one of HTTP/2 over TLS, which take
turns at a steady pace. Each attack (tests/harness/attacks.py) is measured between two rounds without. Attackers, members and client are
processes of the same machine, which elsewhere they are not. So the quiet client and its member run ahead of the node, the node ahead of all
others (real-time priorities, as in bench.py, where they are allowed), and the attackers and the noisy tenant's member have the lowest
priority. What remains of the machine's part shows "spin", a process that only uses it. With --apart the attacked load balancer is on a node
of its own, beside the quiet one's on the same machine: what is then seen of an attack is not the quiet one's node's.

Usage: .venv/bin/python bench/noisy_tenant.py [--seconds 5] [--pace 200] [--apart] [ATTACK...]; $FULCRUM_BIN names the binary.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from client import binary, machine  # noqa: E402
from harness.attacks import ATTACKS, CONTROL, PLAIN, Attack  # noqa: E402
from harness.fulcrum import Fulcrum  # noqa: E402
from harness.http2 import Http2  # noqa: E402
from harness.process_member import ProcessMember  # noqa: E402
from harness.stage import Stage  # noqa: E402

AIM = 1.20  # p99 under attack ÷ p99 alone
LOWEST = 19  # as nice(1) has it
NODE, QUIET = 1, 2  # real-time priorities


def measured(clients, seconds, pace):
    """Milliseconds that requests took, at `pace` per second, the clients in turn; every answer must be right."""
    took, begun = [], time.monotonic()
    for number in range(int(seconds * pace)):
        time.sleep(max(0.0, begun + number / pace - time.monotonic()))
        asked = time.monotonic()
        assert clients[number % len(clients)].ask().status == 200
        took.append(1000 * (time.monotonic() - asked))
    return took


def percentiles(took):
    """p50 and p99."""
    cuts = statistics.quantiles(took, n=100)
    return cuts[49], cuts[98]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("attacks", nargs="*", choices=[[], CONTROL, *ATTACKS], metavar="ATTACK", help=", ".join([CONTROL, *ATTACKS]))
    options.add_argument("--seconds", type=float, default=5.0, help="of each round")
    options.add_argument("--pace", type=float, default=200.0, help="requests per second")
    options.add_argument("--apart", action="store_true", help="the attacked load balancer is on another node")
    said = options.parse_args()
    with contextlib.ExitStack() as stack:
        servers = [ProcessMember("quiet"), ProcessMember("noisy", nice=LOWEST)]
        for server in servers:
            stack.callback(server.stop)
        nodes = [Fulcrum(Path(stack.enter_context(tempfile.TemporaryDirectory())), program=binary()) for _ in range(1 + said.apart)]
        for node in nodes:
            stack.callback(node.stop)
        stages = [Stage(node.start()) for node in nodes]
        if may_run_ahead():
            run_ahead(servers[0].pid, QUIET)
            for node in nodes:
                run_ahead(node.pid, NODE)
        run(stages[0], stages[-1], *servers, said)


def may_run_ahead():
    """Whether real-time priorities are allowed here. If so, this program has one from now on, but not what it starts."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(QUIET))
    except PermissionError:
        print("no real-time priorities are allowed: what the attackers cost themselves counts, too", file=sys.stderr)
        return False
    return True


def run_ahead(pid, priority):
    """Gives the threads of a process, and those that they start, a real-time priority."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(priority))


def run(stage, attacked, calm, loud, said):
    """Measures and prints the table."""
    web = stage.front([calm])
    secure = stage.secure([calm], listener={"http2_enable": True}, load_balancer=web.load_balancer)
    targets = {True: attacked.front([loud]), False: attacked.secure([loud], listener={"http2_enable": True})}
    print(f"{machine()}; {said.pace:.0f} requests per second, rounds of {said.seconds:.0f} s{', the attacked one on another node' * said.apart}\n")
    print("| attack | blows per second | alone, p50 ms | p99 ms | under attack, p50 ms | p99 ms | p99 ÷ alone |\n|---|--:|--:|--:|--:|--:|--:|")
    with web.connect() as kept, Http2(secure.where) as streams:
        clients = [kept, streams]
        measured(clients, 1, said.pace)
        for name in said.attacks or [CONTROL, *ATTACKS]:
            alone = measured(clients, said.seconds, said.pace)
            with Attack(name, targets[name in PLAIN].where, nice=LOWEST) as attack:
                begun = time.monotonic()
                under = measured(clients, 2 * said.seconds, said.pace)
                lasted = time.monotonic() - begun
            alone += measured(clients, said.seconds, said.pace)
            (p50, p99), (p50_under, p99_under) = percentiles(alone), percentiles(under)
            over = "" if p99_under / p99 <= AIM else " (over)"
            print(f"| {name} | {attack.count / lasted:.0f} | {p50:.2f} | {p99:.2f} | {p50_under:.2f} | {p99_under:.2f} | {p99_under / p99:.2f}{over} |", flush=True)


main()
