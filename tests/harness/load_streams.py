"""Load over connections that carry many requests at once: HTTP/2 and HTTP/3. Each connection must live as long as the load."""

import asyncio
import threading

import h2.config
import h2.connection
import h2.events

from harness import http3, tls
from harness.wait import eventually

DEADLINE_SECONDS = 15
BODY = bytes(range(256)) * 20


class StreamLoad:
    """Connections that ask again and again, some requests at a time; every other request has a body, which must come back.

    A context manager: entered when every connection is open. `failures` holds what went wrong: answers that are not right, streams that
    were reset, connections that ended. `done` counts requests. A subclass has `_talk`, which is one connection's life.
    """

    def __init__(self, where, *, connections=2, streams=4, good=lambda status, body: status == 200, pause=0.02):
        """`good(status, body)` judges answers to GET /; `pause`: seconds between the rounds of a connection."""
        self.where, self.connections, self.streams, self.good, self.pause = where, connections, streams, good, pause
        self.failures, self.done, self.opened = [], 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        await asyncio.gather(*(self._kept(number) for number in range(self.connections)))

    async def _kept(self, number):
        try:
            await self._talk(number)
        except Exception as problem:  # whatever ends it before it was told to
            self.failures.append(problem)

    def _judge(self, number, status, body):
        """Counts the answer to a round's request of that number."""
        right = (status, body) == (200, BODY) if number % 2 else self.good(status, body)
        if not right:
            self.failures.append((status, body[:200]))
        self.done += 1

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self.opened == self.connections, within=30, what=f"all are open; failures: {self.failures[:3]}")
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(2 * DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "a client got no answer"


class Http2Load(StreamLoad):
    """Over TLS, by the h2 package."""

    async def _talk(self, number):
        terms = tls.context(alpn=["h2"])
        reader, writer = await asyncio.open_connection(*self.where, ssl=terms, server_hostname=tls.SITE)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        state.initiate_connection()
        self.opened += 1
        while not self._stop.is_set():
            await self._round(state, reader, writer)
            await asyncio.sleep(self.pause)
        state.close_connection()
        writer.write(state.data_to_send())
        writer.close()

    async def _round(self, state, reader, writer):
        waiting = {}
        for number in range(self.streams):
            stream, posts = state.get_next_available_stream_id(), number % 2
            head = [(":method", "POST" if posts else "GET"), (":scheme", "https"), (":authority", tls.SITE), (":path", "/echo" if posts else "/")]
            state.send_headers(stream, head, end_stream=not posts)
            if posts:
                state.send_data(stream, BODY, end_stream=True)
            waiting[stream] = [number, None, b""]
        while waiting:
            writer.write(state.data_to_send())
            data = await asyncio.wait_for(reader.read(65536), DEADLINE_SECONDS)
            if not data:
                raise ConnectionError(f"closed while streams {sorted(waiting)} wait")
            for event in state.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    raise ConnectionError(f"GOAWAY {event.error_code!r}")
                found = waiting.get(getattr(event, "stream_id", None))
                if found is None:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    found[1] = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    found[2] += event.data
                    state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"stream {event.stream_id} was reset with {event.error_code!r}")
                elif isinstance(event, h2.events.StreamEnded):
                    self._judge(*waiting.pop(event.stream_id))
        writer.write(state.data_to_send())


class Http3Load(StreamLoad):
    """By aioquic. Every few rounds a client comes from another port, as one behind a NAT that forgot it."""

    MOVES_EVERY = 25

    async def _talk(self, number):
        async with http3.open_connection(self.where) as connection:
            self.opened += 1
            rounds = 0
            while not self._stop.is_set():
                begun = [connection.ask(http3.head("/echo" if one % 2 else "/", method="POST" if one % 2 else "GET"), [BODY] if one % 2 else [], [])
                         for one in range(self.streams)]
                for one, answer in enumerate(begun):
                    answer = await asyncio.wait_for(answer, DEADLINE_SECONDS)
                    self._judge(one, answer.status, answer.body)
                rounds += 1
                if rounds % self.MOVES_EVERY == 0:
                    await connection.move()
                await asyncio.sleep(self.pause)
