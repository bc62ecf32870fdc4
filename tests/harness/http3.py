"""A client of HTTP/3, by aioquic, for tests that do not know asyncio: it lives in a thread of its own."""

import asyncio
import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from harness import pki
from harness.tls import SITE

DEADLINE_SECONDS = 10

H3_NO_ERROR, H3_REQUEST_REJECTED = 0x100, 0x10b  # RFC 9114 section 8.1


class Refused(Exception):
    """A stream was reset or its connection ended; `code` says why."""

    def __init__(self, code):
        super().__init__(f"code {code:#x}")
        self.code = code


@dataclass
class Answer:
    """What came on a stream."""
    headers: list
    trailers: list
    body: bytes

    @property
    def status(self):
        return int(dict(self.headers)[b":status"])

    def header(self, name):
        """The value of a header that is there at most once."""
        found = [value for key, value in self.headers if key == name.lower().encode()]
        assert len(found) <= 1, found
        return found[0].decode() if found else None


def open_connection(where, *, name=SITE):
    """A connection (`Protocol`), to be used by `async with`."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name, verify_mode=ssl.CERT_REQUIRED)
    configuration.load_verify_locations(cadata=pki.authority().pem.encode())
    return connect(*where, configuration=configuration, create_protocol=Protocol, wait_connected=True)


def head(target="/", *, method="GET", authority=SITE, headers=()):
    """A request's head."""
    return [(b":method", method.encode()), (b":scheme", b"https"), (b":authority", authority.encode()), (b":path", target.encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers)]


class Protocol(QuicConnectionProtocol):
    """A connection, for those who know asyncio."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.streams = {}
        self.ended = None

    def ask(self, headers, pieces, trailers):
        """Sends a request; answers a future of its `Answer`."""
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        self.streams[stream] = (done, [], bytearray())
        self.http.send_headers(stream, headers, end_stream=not pieces and not trailers)
        for number, piece in enumerate(pieces):
            self.http.send_data(stream, piece, end_stream=not trailers and number == len(pieces) - 1)
        if trailers:
            self.http.send_headers(stream, trailers, end_stream=True)
        self.transmit()
        return done

    async def move(self):
        """From now on the packets come from another port, as behind a NAT that forgot the client: it does not know. Answers the port."""
        old = self._transport
        fresh = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        fresh.bind(("::", 0))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=fresh)
        old.abort()
        return transport.get_extra_info("sockname")[1]

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.ended = event.error_code
            for done, _, _ in self.streams.values():
                if not done.done():
                    done.set_exception(Refused(event.error_code))
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            done = self.streams[event.stream_id][0]
            if not done.done():
                done.set_exception(Refused(event.error_code))
        for happened in self.http.handle_event(event):
            if not isinstance(happened, (HeadersReceived, DataReceived)) or happened.stream_id not in self.streams:
                continue
            done, heads, body = self.streams[happened.stream_id]
            if isinstance(happened, DataReceived):
                body.extend(happened.data)
            else:
                heads.append(happened.headers)
            if happened.stream_ended and not done.done():
                del self.streams[happened.stream_id]
                # aioquic has trailers in a list behind the head.
                done.set_result(Answer(heads[0], heads[1] if len(heads) > 1 else [], bytes(body)))


class Http3:
    """A connection; a context manager."""

    def __init__(self, where, *, name=SITE):
        self.where, self.name = where, name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self):
        self._thread.start()
        try:
            self._protocol = self._run(self._connect())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self._run(self._stack.aclose())
        self._end()

    async def _connect(self):
        made = open_connection(self.where, name=self.name)
        return await asyncio.wait_for(self._stack.enter_async_context(made), DEADLINE_SECONDS)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * DEADLINE_SECONDS)

    def _end(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_SECONDS)

    def start(self, target="/", *, method="GET", authority=None, headers=(), pieces=(), trailers=()):
        """Sends a request; answers what `finish` waits for."""
        first = head(target, method=method, authority=authority or self.name, headers=headers)
        after = [(name.lower().encode(), value.encode()) for name, value in trailers]

        async def begin():
            return self._protocol.ask(first, list(pieces), after)
        return self._run(begin())

    def finish(self, begun):
        """The answer to a request."""
        async def wait():
            return await asyncio.wait_for(begun, DEADLINE_SECONDS)
        return self._run(wait())

    def ask(self, target="/", **options):
        """A request and its answer."""
        return self.finish(self.start(target, **options))

    def move(self):
        """From now on the client's packets come from another port."""
        return self._run(self._protocol.move())

    @property
    def certificate(self):
        """The server's, as cryptography has it."""
        return self._protocol._quic.tls._peer_certificate

    @property
    def ended(self):
        """The code with which the connection was ended; None: it goes on."""
        return self._protocol.ended


class Http3Load:
    """Clients of a QUIC listener that connect, ask a few times and leave, all the time, from changing ports.

    A context manager. A connection that the server ends in good order is opened anew (RFC 9114 section 5.2); `failures` holds everything else
    that is no 200, `done` counts requests.
    """

    def __init__(self, where, *, clients=4, requests=5):
        self.where, self.clients, self.requests = where, clients, requests
        self.failures, self.done = [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self):
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(DEADLINE_SECONDS), open_connection(self.where) as connection:
                    await self._ask(connection)
            except Exception as problem:  # whatever keeps a client from its answer
                self.failures.append(problem)

    async def _ask(self, connection):
        for number in range(self.requests):
            if number == 2:
                await connection.move()
            if connection.ended is not None:
                return
            try:
                answer = await connection.ask(head(), [], [])
            except Refused as refused:
                if refused.code not in (H3_NO_ERROR, H3_REQUEST_REJECTED):
                    raise
                return
            if answer.status != 200:
                self.failures.append(answer)
            self.done += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(2 * DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "a client got no answer"
