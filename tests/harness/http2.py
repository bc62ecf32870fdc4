"""HTTP/2 clients over TLS: requests that are answered, and frames that nobody should send."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

from harness.http1 import Answer
from harness.tls import Secure, context


@dataclass
class Stream:
    """What came on a stream so far."""
    headers: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)
    ended: bool = False
    reset: int = None

    @property
    def answer(self):
        """As an HTTP/1.1 answer would be."""
        named = dict(self.headers)
        status = int(named.get(":status", 0))
        return Answer("HTTP/2", status, "", [pair for pair in self.headers if pair[0] != ":status"], self.body, len(self.body), self.trailers, self.interim)


class Http2:
    """A connection. Sends anything that it is told to; a context manager."""

    def __init__(self, where, *, settings=None, **options):
        self.link = Secure(where, context=context(alpn=["h2", "http/1.1"]), **options)
        assert self.link.socket.selected_alpn_protocol() == "h2"
        terms = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)
        self.state = h2.connection.H2Connection(terms)
        self.state.local_settings.update(settings or {})
        self.state.initiate_connection()
        self.streams = {}
        self.goaway = None
        self.closed = False
        self.patient = True  # opens windows as bytes come
        self.flush()

    # -- requests

    def request(self, path="/", *, method="GET", headers=(), body=None, end=True, host="app.example.com", pseudo=None):
        """A request; answers its stream."""
        stream = self.state.get_next_available_stream_id()
        if pseudo is None:
            pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        self.state.send_headers(stream, [*pseudo, *headers], end_stream=end and body is None)
        self.streams[stream] = Stream()
        self.flush()
        if body is not None:
            self.send(stream, body, end=end)
        return stream

    def send(self, stream, body, *, end=True):
        """A body, as the windows allow."""
        sent = 0
        while sent < len(body) or not body:
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size, len(body) - sent)
            if room <= 0 and body:
                self.pump()
                assert not self.closed and self.streams[stream].reset is None, "ended while sending"
                continue
            self.state.send_data(stream, body[sent:sent + room], end_stream=end and sent + room == len(body))
            sent += room
            self.flush()
            if not body:
                break

    def ask(self, path="/", **options):
        """Request and answer."""
        return self.answer(self.request(path, **options))

    def answer(self, stream):
        """The whole answer."""
        found = self.wait(stream, lambda one: one.ended)
        assert found.reset is None and found.ended, f"reset with {found.reset}, connection closed: {self.closed}, GOAWAY {self.goaway}"
        return found.answer

    def wait(self, stream, done):
        """Until `done(stream)`, a reset, or the connection's end."""
        found = self.streams[stream]
        while not (done(found) or found.reset is not None or self.closed):
            self.pump()
        return found

    def status(self, stream):
        """The status of the answer; "reset" when the stream or the connection was ended instead."""
        found = self.wait(stream, lambda one: one.ended)
        return found.answer.status if found.ended else "reset"

    def ended(self):
        """Waits until the other side closes; answers GOAWAY's code, None without one."""
        while not self.closed:
            self.pump()
        return self.goaway

    # -- frames

    def raw(self, data):
        """Any bytes. False when the other side is gone."""
        try:
            self.link.socket.sendall(data)
        except OSError:
            self.closed = True
        return not self.closed

    def head(self, *headers, stream=1, flags=(), encoder=None):
        """A HEADERS frame as bytes, with a block of its own."""
        block = (encoder or hpack.Encoder()).encode(headers)
        return frame(1, stream, block, flags=sum({"END_STREAM": 1, "END_HEADERS": 4}[flag] for flag in flags))

    def flush(self):
        """Sends what is due."""
        data = self.state.data_to_send()
        if data:
            self.raw(data)

    def pump(self):
        """Reads once."""
        try:
            data = self.link.socket.recv(262144)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.state.receive_data(data):
            self._take(event)
        if not self.closed:
            self.flush()

    def _take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)
            self.state.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN  # streams before it go on
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = list(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(list(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.patient and event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)

    def close(self):
        """At once."""
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def frame(kind, stream, payload=b"", *, flags=0):
    """A frame as bytes."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
