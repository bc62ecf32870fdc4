"""Requests that keep coming while a test changes things; every one that is not answered as it should be is kept."""

import asyncio
import re
import threading

from harness import tls
from harness.http1 import Connection
from harness.wait import eventually


class Load:
    """Clients of one listener: some on kept connections, some with a new connection for each request.

    `good(answer)` says whether an answer is right. A context manager; `failures` holds what went wrong, `done` counts requests.
    """

    def __init__(self, where, *, kept=6, fresh=2, target="/", good=lambda answer: answer.status == 200):
        self.where, self.target, self.good = where, target, good
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
        while not self._stop.is_set():
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
        while not self._stop.is_set():
            try:
                async with gate:
                    reader, writer = await asyncio.open_connection(*self.where, ssl=terms, server_hostname=tls.SITE)
                self.opened += keep
                while not self._stop.is_set():
                    await self._ask(reader, writer)
                    if not keep:
                        break
                    await asyncio.sleep(self.pause)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ValueError) as problem:
                self.failures.append(problem)
                await asyncio.sleep(0.05)

    async def _ask(self, reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
        await reader.readexactly(length)
        self.done += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            self.failures.append(head)

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self.opened >= self.kept, within=30, what=f"{self.kept} connections; failures: {self.failures[:3]}")
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a client got no answer"
