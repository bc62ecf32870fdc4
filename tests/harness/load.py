"""Requests that keep coming while a test changes things; every one that is not answered as it should be is kept."""

import asyncio
import re
import threading
import time

from dns.exception import Timeout
from websockets.asyncio.client import connect

from harness import dns, tls
from harness.http1 import Connection
from harness.wait import eventually


class Load:
    """Clients of one listener: some on kept connections, some with a new connection for each request.

    `good(answer)` says whether an answer is right. A context manager; `failures` holds what went wrong, `done` counts requests.
    """

    def __init__(self, where, *, kept=6, fresh=2, target="/", good=lambda answer: answer.status == 200, pause=0.0):
        """`pause`: seconds between the requests of a client."""
        self.where, self.target, self.good, self.pause = where, target, good, pause
        self.failures = []
        self._counts = [0] * (kept + fresh)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number, number < kept), daemon=True) for number in range(kept + fresh)]

    @property
    def done(self):
        """Requests answered so far."""
        return sum(self._counts)

    def _run(self, number, keep):
        connection = None
        while not self._stop.wait(self.pause):
            try:
                connection = connection or Connection(self.where)
                answer = connection.ask(self.target, headers=() if keep else [("Connection", "close")])
                if not self.good(answer):
                    self.failures.append(answer)
                self._counts[number] += 1
                if not keep or (answer.header("connection") or "").lower() == "close":
                    connection.close()
                    connection = None
            except (OSError, ValueError) as problem:
                self.failures.append(problem)
                connection = connection and connection.close()
                self._stop.wait(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self._threads), "a client got no answer"


class SecureLoad:
    """Many TLS connections that stay open and ask again and again, in one thread; beside them some that are new for each request.

    A context manager: entered when every connection is open. `failures` holds answers that are not 200, and connections that end.
    """

    def __init__(self, where, *, kept, fresh=2, pause=0.2):
        """`pause`: seconds between the requests of a connection."""
        self.where, self.kept, self.fresh, self.pause = where, kept, fresh, pause
        self.failures, self.done, self.opened = [], 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        terms = tls.context()
        gate = asyncio.Semaphore(32)  # of handshakes at a time
        await asyncio.gather(*(self._client(terms, gate, number < self.kept) for number in range(self.kept + self.fresh)))

    async def _client(self, terms, gate, keep):
        first = True
        while not self._stop.is_set():
            try:
                async with gate:
                    reader, writer = await asyncio.open_connection(*self.where, ssl=terms, server_hostname=tls.SITE)
                self.opened += keep and first
                first = False
                while not self._stop.is_set():
                    last = await self._ask(reader, writer)
                    if last or not keep:
                        break
                    await asyncio.sleep(self.pause)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ValueError) as problem:
                self.failures.append(problem)
                await asyncio.sleep(0.05)

    async def _ask(self, reader, writer):
        """One request; whether the server asks to close."""
        writer.write(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
        await reader.readexactly(length)
        self.done += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            self.failures.append(head)
        return b"\r\nconnection: close\r\n" in head.lower()

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self.opened >= self.kept, within=30, what=f"{self.kept} connections; failures: {self.failures[:3]}")
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a client got no answer"


class Flows:
    """TCP connections and WebSockets that stay open and say something again and again, which must come back.

    A context manager: entered when all are open. `failures` holds those that ended, `rounds` counts what came back.
    """

    def __init__(self, *, tcp, sockets, count, pause=0.1):
        """`tcp`, `sockets`: where echoing listeners are reached, one of TCP and one of HTTP; `count` of each."""
        self.tcp, self.sockets, self.count, self.pause = tcp, sockets, count, pause
        self.failures, self.rounds, self.opened = [], [0] * (2 * count), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        await asyncio.gather(*(self._kept(self._flow if number < self.count else self._socket, number) for number in range(2 * self.count)))

    async def _kept(self, kind, number):
        try:
            await kind(number)
        except Exception as problem:  # whatever ends it before it was told to
            self.failures.append(problem)

    async def _flow(self, number):
        reader, writer = await asyncio.open_connection(*self.tcp)
        self.opened += 1
        while not self._stop.is_set():
            said = f"{number}:{self.rounds[number]};".encode()
            writer.write(said)
            back = await asyncio.wait_for(reader.readexactly(len(said)), 15)
            assert back == said, (back, said)
            self.rounds[number] += 1
            await asyncio.sleep(self.pause)
        writer.close()

    async def _socket(self, number):
        async with connect(f"ws://{self.sockets[0]}:{self.sockets[1]}/ws", proxy=None, ping_interval=None) as socket:
            self.opened += 1
            while not self._stop.is_set():
                said = f"{number}:{self.rounds[number]}"
                await socket.send(said)
                assert await asyncio.wait_for(socket.recv(), 15) == said
                self.rounds[number] += 1
                await asyncio.sleep(self.pause)

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self.opened == len(self.rounds), within=30, what=f"all are open; failures: {self.failures[:3]}")
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a flow hangs"


class Lookups:
    """Clients of a UDP listener who ask their name server again and again; each must have every answer, and from the same server.

    A context manager. `homes`: who serves whom; `failures`, pairs of who should have answered and what came; `done` counts questions.
    """

    def __init__(self, where, count, *, pause=0.0):
        """`pause`: seconds after each has asked once."""
        self.where, self.pause, self.failures, self.done = where, pause, [], 0
        self._clients = [dns.client() for _ in range(count)]
        self.homes = [dns.lookup(where, sock=one) for one in self._clients]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(self.pause):
            for one, home in zip(self._clients, self.homes):
                try:
                    found = dns.lookup(self.where, sock=one)
                except (Timeout, OSError) as problem:
                    found = problem
                if found != home:
                    self.failures.append((home, found))
                self.done += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a client hangs"


class Calls:
    """Somebody who works with the API all the time: makes an object, reads it, changes it, deletes it.

    A context manager. `failures` holds calls that did not succeed, `slowest` is the longest in seconds, `done` counts them.
    """

    def __init__(self, api, *, watch=lambda: None):
        """`api`: of its own, as it is used in a thread; `watch` is called beside and says what is wrong, or None."""
        self.api, self.watch = api, watch
        self.failures, self.done, self.slowest = [], 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            try:
                made = self._timed(self.api.create, "ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.1"}])
                path = f"ipgroups/{made['id']}"
                wanted = str(self.done)
                self._timed(self.api.update, path, "ipgroup", description=wanted)
                seen = self._timed(self.api.show, path, "ipgroup")
                assert seen["description"] == wanted, seen
                self._timed(self.api.delete, path)
                if wrong := self.watch():
                    self.failures.append(wrong)
            except Exception as problem:
                self.failures.append(problem)
                self._stop.wait(0.05)

    def _timed(self, call, *arguments, **options):
        began = time.monotonic()
        answer = call(*arguments, **options)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.done += 1
        return answer

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(40)
        assert not self._thread.is_alive(), "a call of the API got no answer"
