"""An HTTP/1.1 client on a raw socket: sends any bytes, reads answers exactly."""

import contextlib
import socket
from dataclasses import dataclass, field

from harness.ports import family

DEADLINE_SECONDS = 15


@dataclass
class Answer:
    """One answer with its interim ones."""
    version: str
    status: int
    reason: str
    headers: list
    body: bytes = b""
    length: int = 0
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)

    def header(self, name):
        """The values of a header joined by ", "; None when absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def member(self):
        """Which member answered (its X-Member)."""
        return self.header("x-member")


class Connection:
    """A connection to a listener. A context manager; every read has a deadline."""

    def __init__(self, where, *, source=None, deadline=DEADLINE_SECONDS, receive_buffer=None):
        self.socket = socket.socket(family(where[0]))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(deadline)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(where)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.where = where
        self._buffer = bytearray()

    def send(self, data):
        """These bytes, all of them."""
        self.socket.sendall(data)
        return self

    def request(self, target="/", *, method="GET", headers=(), body=None, version="HTTP/1.1", host="app.example.com"):
        """A well-formed request; a body gets its Content-Length."""
        lines = [f"{method} {target} {version}"] + ([f"Host: {host}"] if host is not None else [])
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))

    def ask(self, target="/", **options):
        """Request and answer."""
        return self.request(target, **options).answer(head=options.get("method") == "HEAD")

    def answer(self, *, head=False, keep=True):
        """The next final answer. `head`: it was asked with HEAD; `keep`: hold the body, not only its length."""
        interim = []
        while True:
            found = self._head()
            if found.status >= 200 or found.status == 101:
                break
            interim.append(found)
        found.interim = interim
        if not head and found.status not in (101, 204, 304):
            self._body(found, keep)
        return found

    def _head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return Answer(version, int(status), reason, headers)

    def _body(self, found, keep):
        def take(piece):
            found.length += len(piece)
            if keep:
                found.body += piece
        if (found.header("transfer-encoding") or "").lower() == "chunked":
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                self.pieces(size, take)
                assert self.exactly(2) == b"\r\n", "no CRLF after a chunk"
            while line := self.until(b"\r\n"):
                name, _, value = line.decode("latin-1").partition(":")
                found.trailers.append((name, value.strip()))
        elif found.header("content-length") is not None:
            self.pieces(int(found.header("content-length")), take)
        else:
            take(self.rest())

    def until(self, end):
        """Bytes up to and without `end`."""
        while (at := self._buffer.find(end)) < 0:
            if not self._fill():
                raise ConnectionError(f"closed before {end!r}; got {bytes(self._buffer[:200])!r}")
        found = bytes(self._buffer[:at])
        del self._buffer[:at + len(end)]
        return found

    def exactly(self, count):
        """That many bytes."""
        whole = bytearray()
        self.pieces(count, whole.extend)
        return bytes(whole)

    def pieces(self, count, take):
        """That many bytes, handed on as they come."""
        while count:
            if not self._buffer and not self._fill():
                raise ConnectionError(f"closed {count} bytes before the end of the body")
            piece = bytes(self._buffer[:count])
            del self._buffer[:len(piece)]
            count -= len(piece)
            take(piece)

    def rest(self):
        """Everything until the other side ends."""
        while self._fill():
            pass
        found = bytes(self._buffer)
        self._buffer.clear()
        return found

    def is_closed(self):
        """Whether the other side ended, nothing more to read; waits for it up to the deadline."""
        try:
            return not self._buffer and not self._fill()
        except ConnectionResetError:
            return True

    def finish(self):
        """Ends our direction only."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def _fill(self):
        piece = self.socket.recv(262144)
        self._buffer += piece
        return bool(piece)

    def close(self):
        """Both directions."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(where, target="/", **options):
    """One request on a connection of its own."""
    source = options.pop("source", None)
    with Connection(where, source=source) as connection:
        return connection.ask(target, headers=[*options.pop("headers", ()), ("Connection", "close")], **options)
