"""More than there is room for: what is there goes on, what is new waits, and all comes back."""

import contextlib

from harness.fulcrum import binary
from harness.stage import Stage
from harness.wait import eventually

# Above what the process keeps for itself; a connection and its member's take two.
DESCRIPTORS = 400


def test_without_descriptors_new_connections_wait_and_are_served_later(start, member, tmp_path):
    few = tmp_path / "few-descriptors"
    few.write_text(f'#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec "{binary()}" "$@"\n')
    few.chmod(0o755)
    fulcrum = start(program=few)
    stage = Stage(fulcrum)
    front = stage.front([member("m")])
    with contextlib.ExitStack() as kept:
        connections = []
        waiting = None
        while waiting is None:
            assert len(connections) < DESCRIPTORS, "the limit is never met"
            connection = kept.enter_context(front.connect(deadline=2))
            try:
                assert connection.ask().status == 200
                connections.append(connection)
            except TimeoutError:
                waiting = connection
        assert len(connections) > 10
        assert all(connection.ask().status == 200 for connection in connections), "those that are there are served"
        assert stage.api.elb("GET", "loadbalancers").status == 200, "so is the API"
        for connection in connections[:10]:
            connection.close()
        assert waiting.answer().status == 200, "it waited in the queue"
    eventually(lambda: front.get("/").status == 200, what="new connections are served again")
    stage.close()


def test_clients_that_say_nothing_whole_are_ended_and_hinder_nobody(member, stage):
    front = stage.front([member("m")], listener={"client_timeout": 1, "keepalive_timeout": 1})
    with contextlib.ExitStack() as kept:
        slow = [kept.enter_context(front.connect(deadline=20)) for _ in range(300)]
        for number, connection in enumerate(slow):
            connection.send([b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12"][number % 4])
        with front.connect() as quick:
            assert all(quick.ask().status == 200 for _ in range(50))
        for number, connection in enumerate(slow):
            if number % 4 == 0:
                assert connection.is_closed()
            else:
                assert connection.answer().status == 408
