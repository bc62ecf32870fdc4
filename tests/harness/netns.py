"""Network namespaces: machines beside each other, each with interfaces, addresses and routes of its own. Needs root."""

import contextlib
import ctypes
import itertools
import os
import subprocess

CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class Machine:
    """A namespace with a loopback interface. What is started within `inside` lives there, and sockets stay where they were made."""

    def __init__(self, role):
        self.name = f"ft{os.getpid()}-{next(_numbers)}-{role}"
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments):
        """`ip` there, as `machine.ip("route", "add", …)`."""
        _ip("-n", self.name, *arguments)

    @contextlib.contextmanager
    def inside(self):
        """This thread is there, and all threads and processes that it starts."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            try:
                yield self
            finally:
                _enter(here)
        finally:
            os.close(there)
            os.close(here)

    def remove(self):
        """Takes it away with its interfaces; what still runs there keeps it until it ends."""
        _ip("netns", "del", self.name)


def cable(one, address, other, other_address):
    """Two machines get an interface each, `to-ROLE`, joined to each other; addresses with their prefix length."""
    ends = [(one, f"to-{other.name.rpartition('-')[2]}", address), (other, f"to-{one.name.rpartition('-')[2]}", other_address)]
    (_, first, _), (_, second, _) = ends
    one.ip("link", "add", first, "type", "veth", "peer", "name", second, "netns", other.name)
    for machine, interface, its in ends:
        machine.ip("address", "add", its, "dev", interface)
        machine.ip("link", "set", interface, "up")


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"`ip {' '.join(arguments)}`: {done.stderr.strip()} (network namespaces need root, and iproute2)"


def _enter(namespace):
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns: the namespace cannot be entered")
