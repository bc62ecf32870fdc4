"""The command line of bench.py."""

import argparse
import subprocess

from scenarios import QUICK, SCENARIOS

MAX_SECONDS = 10


def parse(about):
    """What the command line says; `about` is what the help begins with."""
    parser = argparse.ArgumentParser(description=about, epilog="scenarios: " + ", ".join(SCENARIOS))
    parser.add_argument("scenario", nargs="*", help="scenarios to run, 'quick' or 'all' (default: quick)")
    parser.add_argument("--candidate", action="append", default=[], metavar="NAME[:KIND,KIND]=COMMAND",
                        help="a proxy to measure; {listen} {port} {backend} {kind} {cert} {key} {rules} {dir} are filled in")
    parser.add_argument("--attach", action="append", default=[], metavar="NAME=PID@HOST:PORT", help="a proxy that already runs")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME:FLAVOUR=BINARY",
                        help="another build of a peer; FLAVOUR is haproxy, haproxy-splice or nginx")
    parser.add_argument("--peers", default="haproxy,haproxy-splice,nginx,direct", help="comma list (default: %(default)s)")
    parser.add_argument("--reference", default="haproxy", help="what ratios are against (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help=f"of each load, at most {MAX_SECONDS}")
    parser.add_argument("--core", type=int, default=0, help="the proxy's core")
    parser.add_argument("--load-core", type=int, default=1, help="the core of load generator and backend")
    parser.add_argument("--no-realtime", dest="realtime", action="store_false",
                        help="do not run proxies and load ahead of all other programs (needs CAP_SYS_NICE, used if allowed)")
    parser.add_argument("--watch", metavar="COMMAND",
                        help="run this beside every load, {pid} being the proxy, and end it by SIGINT: perf record, strace -c; costs are then not to be compared")
    parser.add_argument("--json", help="write every sample to this file")
    parser.add_argument("--keep", action="store_true", help="keep the work directory (configurations, logs)")
    args = parser.parse_args()
    args.seconds = max(1, min(MAX_SECONDS, args.seconds))
    names = args.scenario or ["quick"]
    args.scenario = [n for name in names for n in (QUICK if name == "quick" else list(SCENARIOS) if name == "all" else [name])]
    for name in args.scenario:
        if name not in SCENARIOS:
            parser.error(f"no scenario {name!r}; there are: {', '.join(SCENARIOS)}")
    args.realtime = args.realtime and subprocess.run(["chrt", "-r", "1", "true"], capture_output=True).returncode == 0
    args.candidates, args.attached = {}, {}
    for text in args.candidate:
        name, command = text.split("=", 1)
        name, _, kinds = name.partition(":")
        args.candidates[name] = (command, kinds.split(",") if kinds else [])
    for text in args.attach:
        name, where = text.split("=", 1)
        pid, address = where.split("@", 1)
        args.attached[name] = (int(pid), address)
    args.binaries = {"haproxy": ("haproxy", "haproxy"), "haproxy-splice": ("haproxy-splice", "haproxy"), "nginx": ("nginx", "nginx")}
    more = []
    for text in args.peer:
        name, binary = text.split("=", 1)
        name, _, flavour = name.partition(":")
        if flavour not in args.binaries:
            parser.error(f"--peer {text}: the flavour is one of haproxy, haproxy-splice, nginx")
        args.binaries[name] = (flavour, binary)
        more.append(name)
    args.targets = [p for p in args.peers.split(",") if p] + more + list(args.candidates) + list(args.attached)
    return args
