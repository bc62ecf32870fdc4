"""Requests that keep coming while a test changes things; every one that is not answered as it should be is kept."""

import threading

from harness.http1 import Connection


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
