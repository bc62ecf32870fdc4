"""More than there is room for: what is there goes on, what is new waits, and all comes back."""

import contextlib

import pytest

from harness.attacks import ATTACKS, PLAIN, Attack
from harness.fulcrum import binary
from harness.http2 import Http2
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


class Quiet:
    """Another tenant's load balancer on the same node, with a client on a kept connection of each kind, and new ones."""

    def __init__(self, stage, server):
        self.web = stage.front([server])
        self.secure = stage.secure([server], listener={"http2_enable": True}, load_balancer=self.web.load_balancer)

    def ask_all_round(self, rounds):
        """Every request must succeed."""
        with self.web.connect() as kept, Http2(self.secure.where) as streams:
            for _ in range(rounds):
                assert kept.ask().status == 200
                assert streams.ask().status == 200
                assert self.web.get().status == 200
                with Http2(self.secure.where) as fresh:
                    assert fresh.ask().status == 200


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_one_tenant_fails_no_request_of_another(fulcrum, member, stage, name):
    """In time the bench measures it: bench/noisy_tenant.py."""
    victim, bystander = member("noisy"), member("quiet")
    noisy = stage.front([victim]) if name in PLAIN else stage.secure([victim], listener={"http2_enable": True})
    quiet = Quiet(stage, bystander)
    before = fulcrum.rss_kib()
    with Attack(name, noisy.where) as attack:
        quiet.ask_all_round(40)
        assert fulcrum.rss_kib() - before < 128 * 1024
    print(f"{name}: {attack.count} blows")
    assert attack.count > 20, "it was one"
    quiet.ask_all_round(2)
    assert bystander.malformed == []
