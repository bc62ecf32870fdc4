"""Ports for listeners: each is given out once per test run, so that no two tests share one even on the same VIP. And families of addresses."""

import itertools
import os
import random
import socket

# Below the kernel's range for outgoing connections, above what services use.
FIRST, LAST = 20_000, 31_999
_from = random.Random(os.getpid()).randrange(FIRST, LAST)
_numbers = itertools.cycle(itertools.chain(range(_from, LAST + 1), range(FIRST, _from)))


def listener_port():
    """A port for a listener that no other test of this run uses."""
    return next(_numbers)


def family(address):
    """What a socket for this address is made with."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
