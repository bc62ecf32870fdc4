"""Processes that are measured, and what they use."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """A process started by us, in its own session; ended by its own id only."""

    def __init__(self, name, pin, argv, log, env=None):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(pin + argv, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, start_new_session=True,
                                          env={**os.environ, **(env or {})})
        self.pid = self.child.pid

    def alive(self):
        return self.child.poll() is None

    def stop(self):
        if self.alive():
            for pid in tree(self.pid):
                end(pid, signal.SIGTERM)
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                for pid in tree(self.pid):
                    end(pid, signal.SIGKILL)
                self.child.wait(3)


class Attached:
    """A proxy that somebody else started and will stop."""

    def __init__(self, pid):
        self.pid = pid

    def alive(self):
        return Path(f"/proc/{self.pid}").exists()

    def stop(self):
        pass


def end(pid, how):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def tree(root):
    """The process and all its descendants, parents first."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_seconds(pids):
    """User and system seconds of these processes, dead threads included."""
    user = system = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return user / TICK, system / TICK


def running_seconds(pids):
    """CPU seconds of the living threads of these processes, to the nanosecond."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except (OSError, IndexError):
                continue
    return total / 1e9


def memory_kib(pids):
    """Proportional and resident memory of these processes, in KiB."""
    pss = rss = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))
    return pss, rss


def softirq_pid(core):
    """The kernel thread that takes over network work when the core is swamped."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == f"ksoftirqd/{core}":
                    return int(entry.name)
            except OSError:
                continue
    return None


def core_seconds(core):
    """Busy and stolen seconds of one core, whoever used it."""
    line = next(l for l in Path("/proc/stat").read_text().splitlines() if l.startswith(f"cpu{core} "))
    v = [int(x) for x in line.split()[1:]]
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / TICK, v[7] / TICK


def poll(check, seconds):
    """What `check` answers, once that is true; after so many seconds what it answered last."""
    deadline = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def wait_for(address, process, seconds=20):
    """Poll until the address accepts TCP; the process must stay alive meanwhile."""
    host, port = address.rsplit(":", 1)

    def accepts():
        if not process.alive():
            raise RuntimeError(f"ended before it listened on {address}")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 0.2):
            return True

    if not poll(accepts, seconds):
        raise RuntimeError(f"does not listen on {address} after {seconds} s")


def wait_for_quic(address, process, seconds=20):
    """As wait_for: a packet of a version that nobody knows is answered at once, with those that are (RFC 9000 section 6)."""
    host, port = address.rsplit(":", 1)
    question = (bytes([0xC0]) + bytes.fromhex("1a2a3a4a") + bytes([8]) + bytes(8) + bytes([8]) + bytes(8)).ljust(1200, b"\0")

    def answers():
        if not process.alive():
            raise RuntimeError(f"ended before it listened on {address}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.2)
            one.connect((host, int(port)))
            one.send(question)
            return one.recv(2048)[1:5] == bytes(4)

    if not poll(answers, seconds):
        raise RuntimeError(f"does not speak QUIC on {address} after {seconds} s")


def wait_for_watcher(watcher, process, seconds=5):
    """Poll until a program that was started to watch a process does so, as perf or as strace; it must stay alive meanwhile."""
    def watches():
        if watcher.poll() is not None:
            raise RuntimeError(f"the command of --watch ended with {watcher.returncode}")
        if re.search(r"^TracerPid:\t[1-9]", Path(f"/proc/{process.pid}/status").read_text(), re.M):
            return True
        with contextlib.suppress(OSError):
            return any("perf_event" in os.readlink(fd) for fd in Path(f"/proc/{watcher.pid}/fd").iterdir())

    if not poll(watches, seconds):
        raise RuntimeError(f"the command of --watch does not watch process {process.pid} after {seconds} s; perf and strace are known")


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
