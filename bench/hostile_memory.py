#!/usr/bin/env python3
"""What a client's connection can make the load balancer hold: memory (PSS) per connection, for clients that do their worst.

Each kind of client opens so many connections and makes each hold what it can, while nobody reads. The member says whatever it is let
say, reads no body, and leaves /hang unanswered. What is shown is the growth of the process, divided by the connections, when it has
stopped growing; and how much of it is there when the connections have ended. The kernel's buffers are not in it.

Usage: .venv/bin/python bench/hostile_memory.py [--connections 10] [KIND...]; $FULCRUM_BIN names the binary.
"""

import argparse
import asyncio
import contextlib
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from aioquic.h3.connection import H3_ALPN, H3Connection  # noqa: E402
from aioquic.asyncio.client import connect  # noqa: E402
from aioquic.asyncio.protocol import QuicConnectionProtocol  # noqa: E402
from aioquic.quic.configuration import QuicConfiguration  # noqa: E402
from client import binary, machine  # noqa: E402
from harness import frames  # noqa: E402
from harness.attacks import http2, plain  # noqa: E402
from harness.fulcrum import Fulcrum  # noqa: E402
from harness.members import ADDRESS  # noqa: E402
from harness.stage import Stage  # noqa: E402
from processes import memory_kib, tree  # noqa: E402

STREAMS = 100
ANSWER_BYTES = 10_000_000
STILL_SECONDS = 2.0
LIMIT_SECONDS = 60.0
ROOT = b"\x82\x87\x01\x01a"  # GET https://a, without a path
POST = b"\x83\x87\x01\x01a\x04\x05/sink"
WIDE = (1 << 31) - 1


class Member:
    """Answers /bytes with 10 MB as far as anybody takes it; nothing else is answered, and nothing is read behind a head."""

    def __init__(self):
        self.socket = socket.create_server((ADDRESS, 0), backlog=4096)
        self.address, self.port = self.socket.getsockname()
        self.name = "worst"
        self.answer = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ANSWER_BYTES + bytes(ANSWER_BYTES))
        self.kept = []  # connections that nothing is said on
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        waits = selectors.DefaultSelector()
        waits.register(self.socket, selectors.EVENT_READ)
        while True:
            for key, _ in waits.select():
                with contextlib.suppress(OSError):
                    self.move(waits, key)

    def move(self, waits, key):
        """One step of one connection; its data is how much of the answer went."""
        one = key.fileobj
        if one is self.socket:
            one = one.accept()[0]
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            waits.register(one, selectors.EVENT_READ, 0)
        elif key.events == selectors.EVENT_READ:
            head = one.recv(65536)
            if head.startswith(b"GET /bytes"):
                waits.modify(one, selectors.EVENT_WRITE, 0)
            else:
                waits.unregister(one)
                self.kept.append(one)
        else:
            try:
                waits.modify(one, selectors.EVENT_WRITE, key.data + one.send(self.answer[key.data:key.data + 65536]))
            except BlockingIOError:
                pass
            except OSError:
                waits.unregister(one)
                one.close()


# -- the clients: each yields connections that hold what they can; `close` ends them

def narrow(where):
    return plain(where, receive_buffer=4096)


def h1_heads(plain_at, _):
    """Heads of 60 KiB that never end."""
    made = narrow(plain_at)
    made.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Long: " + b"x" * 60_000)
    return made


def h1_answers(plain_at, _):
    """An answer of 10 MB that nobody reads."""
    made = narrow(plain_at)
    made.sendall(b"GET /bytes HTTP/1.1\r\nHost: a\r\n\r\n")
    return made


def h1_uploads(plain_at, _):
    """A body for a member that does not read."""
    made = narrow(plain_at)
    made.sendall(b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    stuff(made, bytes(1 << 20))
    return made


def path(target):
    """A literal `:path`, not indexed."""
    return b"\x04" + bytes([len(target)]) + target


def long_string(count):
    """So many letters as a string of HPACK: a length of more than 7 bits, and no Huffman code."""
    length, rest = b"\x7f", count - 127
    while rest >= 128:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return length + bytes([rest]) + b"y" * count


def asking(where, first, block):
    """A connection of HTTP/2 with so many requests."""
    made = http2(where, first)
    made.sendall(b"".join(frames.headers(stream, block) for stream in range(1, 2 * STREAMS, 2)))
    return made


def h2_windows(_, secure_at):
    """100 answers of 10 MB, all windows open as wide as they go, and nobody reads."""
    wide = frames.frame(frames.WINDOW_UPDATE, 0, (WIDE - 65535).to_bytes(4, "big"))
    return asking(secure_at, frames.settings((frames.INITIAL_WINDOW_SIZE, WIDE)) + wide, ROOT + path(b"/bytes"))


def h2_shut(_, secure_at):
    """100 answers of 10 MB and no window for them."""
    return asking(secure_at, frames.settings((frames.INITIAL_WINDOW_SIZE, 0)), ROOT + path(b"/bytes"))


def h2_heads(_, secure_at):
    """100 requests with heads of 60 KiB, said in few bytes, that nobody answers."""
    made = http2(secure_at)
    long = b"\x40\x06x-long" + long_string(3900)  # goes into the table, where the other requests find it
    made.sendall(frames.headers(1, ROOT + path(b"/hang") + long))
    rest = ROOT + path(b"/hang") + b"\xbe" * 14
    made.sendall(b"".join(frames.headers(stream, rest) for stream in range(3, 2 * STREAMS, 2)))
    return made


def h2_blocks(_, secure_at):
    """A block of fields of 60 KiB that never ends."""
    made = http2(secure_at)
    made.sendall(frames.headers(1, ROOT + path(b"/hang"), whole=False))
    for _number in range(4):
        made.sendall(frames.continuation(1, b"\x00\x06x-long" + long_string(15_000), whole=False))
    return made


def h2_uploads(_, secure_at):
    """100 bodies for a member that does not read, as far as the windows go."""
    made = http2(secure_at)
    data = b"".join(frames.headers(stream, POST, end=False) for stream in range(1, 2 * STREAMS, 2))
    for _round in range(20):
        data += b"".join(frames.frame(frames.DATA, stream, bytes(8192)) for stream in range(1, 2 * STREAMS, 2))
    stuff(made, data)
    return made


def stuff(made, data):
    """Says it as far as anybody takes it."""
    made.settimeout(1)
    with contextlib.suppress(OSError):
        made.sendall(data)


class Deaf(QuicConnectionProtocol):
    """A client that at some time hears nothing any more."""
    deaf = False

    def datagram_received(self, data, address):
        if not self.deaf:
            super().datagram_received(data, address)


class Quic:
    """A connection of HTTP/3 with 100 answers of 10 MB, all windows open, and nothing is acknowledged."""

    def __init__(self, where):
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.live(where),), daemon=True)
        self.thread.start()
        assert self.ready.wait(20), "no connection of QUIC"

    async def live(self, where):
        terms = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="site.example.com",
                                  max_data=1 << 30, max_stream_data=1 << 30, idle_timeout=600)
        self.over = asyncio.Event()
        async with connect(*where, configuration=terms, create_protocol=Deaf, wait_connected=True) as one:
            h3 = H3Connection(one._quic)
            for _ in range(STREAMS):
                stream = one._quic.get_next_available_stream_id()
                h3.send_headers(stream, [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"site.example.com"), (b":path", b"/bytes")], True)
            one.transmit()
            one.deaf = True
            self.ready.set()
            await self.over.wait()
            one._transport.abort()

    def close(self):
        self.loop.call_soon_threadsafe(self.over.set)


def h3_windows(_, secure_at):
    """100 answers of 10 MB over HTTP/3, all windows open, and nothing is acknowledged."""
    return Quic(secure_at)


KINDS = {kind.__name__: kind for kind in (h1_heads, h1_answers, h1_uploads, h2_windows, h2_shut, h2_heads, h2_blocks, h2_uploads, h3_windows)}


def settled(pid):
    """PSS in KiB, once it has stayed within 1 % for a while."""
    held, since, until = 0, time.monotonic(), time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < min(since + STILL_SECONDS, until):
        now = memory_kib(tree(pid))[0]
        if abs(now - held) > held * 0.01:
            held, since = now, time.monotonic()
        time.sleep(0.1)
    return held


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("kinds", nargs="*", choices=[[], *KINDS], metavar="KIND", help=", ".join(KINDS))
    options.add_argument("--connections", type=int, default=10)
    said = options.parse_args()
    print(f"{machine()}; {said.connections} connections of each kind\n\n| client | what it does | KiB per connection | KiB afterwards |\n|---|---|--:|--:|", flush=True)
    for name in said.kinds or KINDS:
        with tempfile.TemporaryDirectory() as place:
            # A process of its own for each: what one kind left in pools would hide what the next needs.
            process = Fulcrum(Path(place), program=binary())
            try:
                measure(name, said.connections, process, Stage(process.start()))
            finally:
                process.stop()


def measure(name, count, process, stage):
    """A row of the table."""
    member, quic = Member(), name.startswith("h3")
    web = stage.front([member])
    secure = stage.secure([member], listener={"http2_enable": True}) if not quic else stage.front(
        [member], protocol="QUIC", listener={"default_tls_container_ref": stage.certificate(kind="RSA")["id"]}, pool={"protocol": "HTTP"})
    before = settled(process.process.pid)
    living = [KINDS[name](web.where, secure.where) for _ in range(count)]
    full = settled(process.process.pid)
    for one in living:
        one.close()
    after = settled(process.process.pid)
    print(f"| {name} | {KINDS[name].__doc__.rstrip('.')} | {(full - before) / count:,.0f} | {max(0, after - before) / count:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
