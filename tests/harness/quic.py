"""QUIC servers behind the load balancer, and clients that move. TLS is between the two; nobody in between takes part."""

import asyncio
import socket
import ssl
import tempfile
import threading
from collections import defaultdict

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted, StreamDataReceived

from harness import pki
from harness.members import ADDRESS

ALPN = ["echo"]


class QuicMember:
    """Answers what is said on a stream with its name and the same words. Connection ids are random, of aioquic's choice.

    `connections` counts handshakes.
    """

    def __init__(self, name="quic", *, address=ADDRESS, port=0):
        self.name, self.address, self.port = name, address, port
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        assert self._started.wait(5), "the server did not start"

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._started.set()
        self._loop.run_forever()

    async def _serve(self):
        configuration = QuicConfiguration(is_client=False, alpn_protocols=ALPN)
        pair = pki.pair("quic.example.com")
        with tempfile.NamedTemporaryFile("w") as chain, tempfile.NamedTemporaryFile("w") as key:
            chain.write(pair.chain)
            key.write(pair.key)
            chain.flush()
            key.flush()
            configuration.load_cert_chain(chain.name, key.name)
        member = self

        class Conversation(QuicConnectionProtocol):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                self.heard = defaultdict(bytes)

            def quic_event_received(self, event):
                if isinstance(event, HandshakeCompleted):
                    member.connections += 1
                if isinstance(event, StreamDataReceived):
                    self.heard[event.stream_id] += event.data
                    if event.end_stream:
                        self._quic.send_stream_data(event.stream_id, member.name.encode() + b":" + self.heard.pop(event.stream_id), end_stream=True)
                        self.transmit()
        self._server = await serve(self.address, self.port, configuration=configuration, create_protocol=Conversation)
        self.port = self._server._transport.get_extra_info("sockname")[1]

    def stop(self):
        """Ends."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)


def client(where):
    """A connection to `where`, to be used by `async with`; then `ask`, `change_id`, `move`."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=ALPN, server_name="quic.example.com", verify_mode=ssl.CERT_NONE)
    return connect(*where, configuration=configuration, create_protocol=Client)


class Client(QuicConnectionProtocol):
    """A client's connection."""

    async def ask(self, words="hello"):
        """Who answers, by name; the words must come back whole."""
        reader, writer = await self.create_stream()
        writer.write(words.encode())
        writer.write_eof()
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        name, echo = answer.split(":", 1)
        assert echo == words
        return name

    async def change_id(self):
        """Calls the server by another of its ids from now on."""
        self.change_connection_id()
        await self.ping()

    async def move(self):
        """Goes on from another port, as a client behind a NAT that forgot it does: nobody is told."""
        former = self._transport
        here = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        here.bind(("::", 0))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=here)
        former.close()
