"""HTTP/2 frame by frame: frames and field blocks as bytes, right or wrong, and a connection that says and hears them one by one.

Unlike `harness.http2` nothing here knows what is allowed: a test says what it likes and looks at what comes back.
"""

import contextlib
import time

import hpack

from harness.http2 import frame
from harness.tls import Secure, context

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
KINDS = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION")
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(10)
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
         "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITY_FLAG = 4, 8, 32

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LEAST_FRAME = 16_384  # every endpoint takes frames of that size
DEADLINE_SECONDS = 4  # until something that is due has not come


# -- frames

def padded(payload, pad):
    """The payload between its pad length and its padding."""
    return bytes([pad]) + payload + bytes(pad)


def data(stream, payload=b"", *, end=False, pad=None, flags=0):
    """DATA."""
    flags |= (END_STREAM if end else 0) | (0 if pad is None else PADDED)
    return frame(DATA, stream, payload if pad is None else padded(payload, pad), flags=flags)


def headers(stream, block, *, end=True, whole=True, pad=None, priority=None, flags=0):
    """HEADERS. `priority`: five bytes; `whole`: no CONTINUATION follows."""
    flags |= (END_STREAM if end else 0) | (END_HEADERS if whole else 0) | (0 if pad is None else PADDED) | (PRIORITY_FLAG if priority else 0)
    payload = (priority or b"") + block
    return frame(HEADERS, stream, payload if pad is None else padded(payload, pad), flags=flags)


def continuation(stream, block=b"", *, whole=True):
    """CONTINUATION."""
    return frame(CONTINUATION, stream, block, flags=END_HEADERS if whole else 0)


def dependency(on=0, *, weight=15, exclusive=False):
    """The five bytes of a priority."""
    return (on | (0x8000_0000 if exclusive else 0)).to_bytes(4, "big") + bytes([weight])


def priority(stream, on=0, **terms):
    """PRIORITY."""
    return frame(PRIORITY, stream, dependency(on, **terms))


def reset(stream, code=CANCEL):
    """RST_STREAM."""
    return frame(RST_STREAM, stream, code.to_bytes(4, "big"))


def settings(*pairs, flags=0):
    """SETTINGS of (identifier, value)."""
    return frame(SETTINGS, 0, b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs), flags=flags)


def push_promise(stream, promised, block):
    """PUSH_PROMISE."""
    return frame(PUSH_PROMISE, stream, promised.to_bytes(4, "big") + block, flags=END_HEADERS)


def ping(payload=b"conforms", *, flags=0):
    """PING."""
    return frame(PING, 0, payload, flags=flags)


def goaway(last=0, code=NO_ERROR, debug=b""):
    """GOAWAY."""
    return frame(GOAWAY, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window(stream, increment):
    """WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, stream, increment.to_bytes(4, "big"))


# -- field blocks, without state unless asked for

def integer(value, prefix, first=0):
    """An integer of HPACK in the low `prefix` bits of `first` and what follows."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def string(text):
    """A string literal without Huffman."""
    text = text if isinstance(text, bytes) else text.encode()
    return integer(len(text), 7) + text


def literal(name, value, first=0):
    """A literal field with a new name. `first`: 0 is not indexed, 0x40 is put into the table, 0x10 is never indexed."""
    return bytes([first]) + string(name) + string(value)


def block(*fields):
    """A block of literals: pairs, or bytes as they are."""
    return b"".join(one if isinstance(one, bytes) else literal(*one) for one in fields)


def pseudo(path="/", *, method="GET", scheme="https", authority="app.example.com"):
    """The pseudo-header fields of a request; those that are None are missing."""
    fields = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    return [(name, value) for name, value in fields if value is not None]


def get(stream=1, path="/", *more, end=True, **terms):
    """HEADERS of a GET."""
    return headers(stream, block(*pseudo(path), *more), end=end, **terms)


def post(stream=1, path="/sink", *more, end=False, **terms):
    """HEADERS of a POST whose body follows."""
    return headers(stream, block(*pseudo(path, method="POST"), *more), end=end, **terms)


# -- a connection

class Wire:
    """A connection over TLS on which nothing happens unasked, but that SETTINGS and PING are acknowledged. A context manager."""

    def __init__(self, where, *, ours=(), greet=True, pieces=False):
        """`ours`: our settings; `greet`: the preface and SETTINGS go out, and those of the server are awaited; `pieces`: what is sent
        goes out in records of a few bytes.
        """
        self.pieces = pieces
        self.link = Secure(where, context=context(alpn=["h2"]), deadline=DEADLINE_SECONDS)
        assert self.link.socket.selected_alpn_protocol() == "h2"
        self.decoder = hpack.Decoder()
        self.received = bytearray()
        self.block = None
        self.frames, self.theirs, self.acknowledged, self.pongs = [], {}, 0, []
        self.heads, self.bodies, self.ended, self.resets, self.windows = {}, {}, set(), {}, {}
        self.sizes, self.sent = [], {}
        self.goaway = self.closed = None
        if greet:
            self.send(PREFACE, settings(*ours))
            self.until(lambda: self.theirs and self.acknowledged, "the server's SETTINGS and its ACK")

    def send(self, *parts):
        """Frames. Whether they arrive is not known: the other side may be gone."""
        sent = b"".join(parts)
        with contextlib.suppress(OSError):
            if self.pieces:
                for at in range(0, min(len(sent), 400), 7):
                    self.link.socket.sendall(sent[at:at + 7])
                sent = sent[406:]
            if sent:
                self.link.socket.sendall(sent)
        return self

    def until(self, done, what):
        """Reads until something is there; fails when the connection ends first, or it takes too long."""
        assert self.reaches(done), f"never came: {what}; {self.story()}"
        return self

    def reaches(self, done, seconds=DEADLINE_SECONDS):
        """Reads until something is there; whether it came."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if self.closed or left <= 0:
                return False
            self.link.socket.settimeout(left)
            self._pump()
        return True

    def sync(self):
        """Until all that was sent has been looked at."""
        before = len(self.pongs)
        self.send(ping(b"all seen"))
        return self.until(lambda: len(self.pongs) > before, "the answer to a PING")

    def answered(self, stream=1):
        """Until a stream has its whole answer."""
        return self.until(lambda: stream in self.ended, f"the end of stream {stream}")

    def was_reset(self, stream=1):
        """Until a stream is reset by the other side."""
        return self.until(lambda: stream in self.resets, f"a reset of stream {stream}")

    def status(self, stream=1):
        """The status of a stream's answer; None when there is none."""
        statuses = [int(dict(head)[":status"]) for head in self.heads.get(stream, ()) if ":status" in dict(head)]
        return statuses[-1] if statuses else None

    def body(self, stream=1):
        """What came on a stream so far."""
        return bytes(self.bodies.get(stream, b""))

    def story(self):
        """What came, in words."""
        return "came: " + (", ".join(self.frames) or "nothing") + (f"; closed: {self.closed}" if self.closed else "; still open")

    def _pump(self):
        try:
            piece = self.link.socket.recv(65_536)
        except TimeoutError:
            return
        except OSError as problem:
            self.closed = f"{type(problem).__name__}"
            return
        if not piece:
            self.closed = "in order"
            return
        self.received += piece
        while len(self.received) >= 9 and len(self.received) >= 9 + (length := int.from_bytes(self.received[:3], "big")):
            kind, flags, stream = self.received[3], self.received[4], int.from_bytes(self.received[5:9], "big") & 0x7fff_ffff
            payload = bytes(self.received[9:9 + length])
            del self.received[:9 + length]
            self._take(kind, flags, stream, payload)

    def _take(self, kind, flags, stream, payload):
        number = int.from_bytes(payload[:4], "big")
        said = f"{KINDS[kind] if kind < len(KINDS) else kind} on {stream}, {len(payload)} bytes, flags {flags:#x}"
        if kind == DATA:
            self.bodies.setdefault(stream, bytearray()).extend(payload)
        elif kind in (HEADERS, CONTINUATION):
            self.block = (self.block or b"") + payload
            if flags & END_HEADERS:
                fields = self.decoder.decode(self.block, raw=True)
                self.block = None
                self.heads.setdefault(stream, []).append([(bytes(name).decode(), bytes(value).decode("latin-1")) for name, value in fields])
                said += f" {dict(self.heads[stream][-1]).get(':status', '')}"
        elif kind == RST_STREAM:
            self.resets[stream] = number
            said += f" {CODES[number]}"
        elif kind == SETTINGS and flags & ACK:
            self.acknowledged += 1
        elif kind == SETTINGS:
            self.theirs.update({int.from_bytes(payload[at:at + 2], "big"): int.from_bytes(payload[at + 2:at + 6], "big") for at in range(0, len(payload), 6)})
            self.theirs.setdefault(None, True)
            self.send(settings(flags=ACK))
        elif kind == PING and flags & ACK:
            self.pongs.append(payload)
        elif kind == PING:
            self.send(ping(payload, flags=ACK))
        elif kind == GOAWAY:
            self.goaway = (int.from_bytes(payload[4:8], "big"), number)
            said += f" {CODES[self.goaway[0]]} last {number}"
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, 0) + number
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(stream)
        self.sizes.append(len(payload))
        self.frames.append(said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()
