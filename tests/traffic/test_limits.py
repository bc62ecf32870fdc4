"""Limits of listeners, and PROXY headers from those who connect, set through the API."""

import json
import time

from harness.members import EchoMember
from harness.metrics import scrape, total
from harness.wait import eventually


def echoes(front):
    """Whether a new connection is served; the connection when it is."""
    try:
        client = front.connect()  # the reset may come before it is over
        client.send(b"ping")
        return client if client.exactly(4) == b"ping" else None
    except (OSError, AssertionError, EOFError):
        return None


def test_a_listener_takes_as_many_connections_as_it_may(member, stage):
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP", listener={"connection": 2})
    kept = [echoes(front), echoes(front)]
    assert all(kept)
    assert echoes(front) is None
    front.edit(connection=3)
    kept.append(echoes(front))
    assert kept[2]
    for client in kept:
        client.send(b"more")
        assert client.exactly(4) == b"more", "those that are there go on"
    front.edit(connection=0)
    assert echoes(front)


def test_a_listener_takes_as_many_new_connections_per_second_as_it_may(fulcrum, member, stage):
    """A second's worth may come at once; then so many each second, over all workers together."""
    rate = 5
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP", listener={"cps": rate})
    begun = time.monotonic()
    served = sum(echoes(front) is not None for _ in range(60))
    lasted = time.monotonic() - begun
    assert rate <= served <= rate * (lasted + 1) + 1 and served < 60, f"{served} in {lasted:.2f} s"
    refused = total(scrape(fulcrum), "fulcrum_listener_over_limit_connections_total", listener=front.listener["id"])
    assert refused == 60 - served
    eventually(lambda: echoes(front), what="time brings new ones")
    front.edit(cps=0)
    assert all(echoes(front) for _ in range(30))


def test_proxy_headers_are_believed_of_whom_the_listener_trusts(member, stage):
    front = stage.front([member("m")], listener={"proxy_protocol_accept": {"trusted": ["127.0.0.0/8"]}})
    with front.connect() as client:
        client.send(b"PROXY TCP4 198.51.100.7 127.88.0.1 4711 80\r\n")
        answer = client.request("/request").answer()
        headers = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
        assert headers["x-forwarded-for"] == "198.51.100.7"
    front.edit(proxy_protocol_accept=None)
    with front.connect() as client:
        assert client.request("/").answer().status == 200
