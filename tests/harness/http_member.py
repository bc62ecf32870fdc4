"""An HTTP/1.1 member: reads requests strictly, records them, answers by path.

Paths: anything: its name · /request: the request as JSON · /echo: the body · /sink: the body's length · /bytes/N, /chunked/N:
N bytes · /status/N · /gate: waits for `gate` · /until-close: no length, ends by closing · /last: `Connection: close` ·
/hints: 103 before 200 · /ws: a WebSocket that echoes · /trickle/N: N lines, one per release of `step`.
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field

from harness.members import TcpMember

KEEP_BODY_MAX = 1 << 20
BLOCK = b"0123456789abcdef" * 4096


class Malformed(Exception):
    """What came is no HTTP/1.1 request: the load balancer let something through that it must not."""


@dataclass
class Request:
    """A request as it arrived."""
    method: str
    target: str
    version: str
    headers: list
    connection: int
    peer: tuple
    body: bytes = b""
    length: int = 0
    sha256: str = ""
    trailers: list = field(default_factory=list)

    def header(self, name):
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def as_json(self):
        """For /request."""
        return {"method": self.method, "target": self.target, "version": self.version, "headers": self.headers,
                "length": self.length, "sha256": self.sha256, "trailers": self.trailers}


class HttpMember(TcpMember):
    """See the module. `requests` holds all requests so far, `malformed` what could not be read as one."""

    def __init__(self, name="member", *, version="HTTP/1.1", idle_close=False, **where):
        self.version = version
        self.idle_close = idle_close
        self.requests = []
        self.malformed = []
        self.step = threading.Semaphore(0)
        super().__init__(name, **where)

    def count(self, path=None):
        """How many requests came (for that path)."""
        return len(self.requests) if path is None else sum(r.target.split("?")[0] == path for r in list(self.requests))

    # -- reading

    def serve(self, connection, peer):
        number = self.connections
        reader = _Reader(connection)
        while True:
            try:
                request = self._read(reader, connection, number, peer)
            except Malformed as problem:
                self.malformed.append(str(problem))
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if request is None:
                return
            if not self._answer(request, connection, reader):
                return
            if self.version == "HTTP/1.0" or self.idle_close:
                return
            if "close" in [v.lower() for v in request.header("connection")]:
                return

    def _read(self, reader, connection, number, peer):
        head = reader.until(b"\r\n\r\n")
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise Malformed(f"request line {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
                raise Malformed(f"header line {line!r}")
            headers.append((name, value.strip(" \t")))
        request = Request(*parts, headers, number, peer)
        chunked, length = request.header("transfer-encoding"), request.header("content-length")
        if chunked and length or len(length) > 1 or len(chunked) > 1:
            raise Malformed(f"two framings: {headers!r}")
        if len(request.header("host")) != 1 and parts[2] == "HTTP/1.1":
            raise Malformed(f"not exactly one Host: {headers!r}")
        if request.header("expect") and request.target.startswith("/refuse"):
            self.requests.append(request)
            return request
        if request.header("expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_body(request, reader, chunked, length)
        self.requests.append(request)
        return request

    def _read_body(self, request, reader, chunked, length):
        digest, kept = hashlib.sha256(), bytearray()

        def take(piece):
            request.length += len(piece)
            if request.length <= KEEP_BODY_MAX:
                digest.update(piece)
                kept.extend(piece)
        if chunked:
            if chunked[0].lower() != "chunked":
                raise Malformed(f"transfer coding {chunked!r}")
            while True:
                size = reader.until(b"\r\n")
                if size is None:
                    raise Malformed("ended inside a chunked body")
                left = int(size.split(b";")[0], 16)
                if left == 0:
                    break
                reader.pieces(left, take)
                if reader.exactly(2) != b"\r\n":
                    raise Malformed("no CRLF after a chunk")
            while (line := reader.until(b"\r\n")):
                name, _, value = line.decode("latin-1").partition(":")
                request.trailers.append((name, value.strip()))
        elif length:
            reader.pieces(int(length[0]), take)
        request.body, request.sha256 = bytes(kept), digest.hexdigest()

    # -- answering: false ends the connection

    def _answer(self, request, connection, reader):
        path, _, argument = request.target.split("?")[0].lstrip("/").partition("/")
        handler = getattr(self, f"on_{path.replace('-', '_')}", None)
        if handler:
            return handler(request, connection, reader, argument) is not False
        return self.reply(connection, request, self.name.encode())

    def reply(self, connection, request, body, *, status="200 OK", headers=()):
        """One whole answer with Content-Length and X-Member."""
        lines = [f"{self.version} {status}", f"X-Member: {self.name}", f"Content-Length: {len(body)}",
                 *(f"{name}: {value}" for name, value in headers)]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        connection.sendall(head if request.method == "HEAD" else head + body)
        return True

    def on_request(self, request, connection, reader, argument):
        """The request as JSON."""
        return self.reply(connection, request, json.dumps(request.as_json()).encode(), headers=[("Content-Type", "application/json")])

    def on_echo(self, request, connection, reader, argument):
        """The body."""
        return self.reply(connection, request, request.body)

    def on_sink(self, request, connection, reader, argument):
        """The body's length."""
        return self.reply(connection, request, str(request.length).encode())

    def on_status(self, request, connection, reader, argument):
        """Any status."""
        if argument in ("204", "304"):
            connection.sendall(f"{self.version} {argument} Nothing\r\nX-Member: {self.name}\r\n\r\n".encode())
            return True
        return self.reply(connection, request, self.name.encode(), status=f"{argument} Asked")

    def on_refuse(self, request, connection, reader, argument):
        """A final answer before the body was sent."""
        self.reply(connection, request, b"no", status="417 Expectation Failed", headers=[("Connection", "close")])
        return False

    def on_gate(self, request, connection, reader, argument):
        """Answers when `gate` is set."""
        self.gate.wait(60)
        return self.reply(connection, request, self.name.encode())

    def on_bytes(self, request, connection, reader, argument):
        """N bytes with a length."""
        total = int(argument)
        connection.sendall(f"{self.version} 200 OK\r\nX-Member: {self.name}\r\nContent-Length: {total}\r\n\r\n".encode())
        while total and request.method != "HEAD":
            total -= connection.send(BLOCK[:min(total, len(BLOCK))])
        return True

    def on_chunked(self, request, connection, reader, argument):
        """N bytes in chunks, with a trailer."""
        total = int(argument)
        connection.sendall(f"HTTP/1.1 200 OK\r\nX-Member: {self.name}\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n".encode())
        while total:
            piece = BLOCK[:min(total, len(BLOCK))]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            total -= len(piece)
        connection.sendall(b"0\r\nX-End: reached\r\n\r\n")
        return True

    def on_until_close(self, request, connection, reader, argument):
        """No length at all: ends by closing."""
        connection.sendall(f"{self.version} 200 OK\r\nX-Member: {self.name}\r\n\r\n".encode() + b"all of it")
        return False

    def on_last(self, request, connection, reader, argument):
        """Says that it closes, and does."""
        self.reply(connection, request, self.name.encode(), headers=[("Connection", "close")])
        return False

    def on_hints(self, request, connection, reader, argument):
        """103 before the answer."""
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        return self.reply(connection, request, self.name.encode())

    def on_trickle(self, request, connection, reader, argument):
        """Lines in chunks, one for each release of `step`."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(int(argument)):
            self.step.acquire(timeout=60)
            line = f"line {number}\n".encode()
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        connection.sendall(b"0\r\n\r\n")
        return True

    def on_ws(self, request, connection, reader, argument):
        """RFC 6455: accepts, then sends every text and binary message back until the close frame."""
        key = request.header("sec-websocket-key")
        if not key or request.header("upgrade")[:1] != ["websocket"]:
            return self.reply(connection, request, b"no upgrade", status="426 Upgrade Required")
        accept = base64.b64encode(hashlib.sha1(key[0].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           f"Sec-WebSocket-Accept: {accept}\r\nX-Member: {self.name}\r\n\r\n".encode())
        while True:
            first, second = reader.exactly(2)
            size = second & 0x7f
            if size >= 126:
                size = int.from_bytes(reader.exactly(2 if size == 126 else 8), "big")
            mask = reader.exactly(4)
            data = reader.exactly(size)
            data = (int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")).to_bytes(size, "big")
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
            connection.sendall(bytes([first]) + length + data)
            if first & 0x0f == 8:
                return False


class _Reader:
    """Buffered reading from a socket."""

    def __init__(self, connection):
        self._connection, self._buffer = connection, bytearray()

    def until(self, end):
        """Up to and without `end`; None at the end of input."""
        while (at := self._buffer.find(end)) < 0:
            if not self._fill():
                return None
        found = bytes(self._buffer[:at])
        del self._buffer[:at + len(end)]
        return found

    def exactly(self, count):
        """That many bytes; OSError when input ends before."""
        while len(self._buffer) < count:
            if not self._fill():
                raise ConnectionError("input ended")
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def pieces(self, count, take):
        """That many bytes, handed on as they come."""
        while count:
            if not self._buffer and not self._fill():
                raise ConnectionError("input ended inside a body")
            piece = bytes(self._buffer[:count])
            del self._buffer[:len(piece)]
            count -= len(piece)
            take(piece)

    def _fill(self):
        piece = self._connection.recv(262144)
        self._buffer += piece
        return bool(piece)
