"""Limits of listeners, and PROXY headers from those who connect, set through the API."""

import json
import socket
import time

import pytest

from harness.http2 import Http2
from harness.http3 import Http3, Refused
from harness.members import ADDRESS, EchoMember
from harness.metrics import scrape, total
from harness.wait import eventually

BYTES = 1_000_000
KBITS = 8 * BYTES // 1000  # of `bandwidth`: as many bytes in a second


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


def of_listener(fulcrum, front, name):
    """A counter of the front's listener."""
    return total(scrape(fulcrum), f"fulcrum_listener_{name}_total", listener=front.listener["id"])


def fronts(stage, protocol, servers, **fields):
    """A listener of this protocol, and how one asks it."""
    if protocol == "HTTP":
        front = stage.front(servers, listener=fields)
        return front, lambda path, body: front.get(path, method="POST", body=body).body
    if protocol == "HTTPS":
        front = stage.secure(servers, listener={"http2_enable": True, **fields})

        def ask(path, body):
            with Http2(front.where) as client:
                return client.ask(path, method="POST", body=body).body
    else:
        certificate = stage.certificate(kind="RSA")["id"]
        fields = {"default_tls_container_ref": certificate, **fields}
        front = stage.front(servers, protocol="QUIC", listener=fields, pool={"protocol": "HTTP"})

        def ask(path, body):
            with Http3(front.where) as client:
                return client.ask(path, method="POST", pieces=[body]).body
    return front, ask


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS", "QUIC"])
def test_bodies_take_the_time_that_the_bandwidth_says(fulcrum, member, stage, protocol):
    front, ask = fronts(stage, protocol, [member("m")], bandwidth=KBITS)
    body = bytes(range(250)) * (BYTES // 250)
    began = time.monotonic()
    assert ask("/echo", body) == body
    # A second's worth in each direction, of which a quarter may pass at once; both at the same time.
    assert time.monotonic() - began >= 0.74
    assert of_listener(fulcrum, front, "bandwidth_waits") > 0
    front.edit(bandwidth=0)
    waited = of_listener(fulcrum, front, "bandwidth_waits")
    assert ask("/echo", body) == body
    assert of_listener(fulcrum, front, "bandwidth_waits") == waited


def test_the_bandwidth_of_a_load_balancer_holds_for_all_its_listeners_together(member, stage):
    lb = stage.load_balancer(bandwidth=KBITS)
    one, other = (stage.front([member(name)], load_balancer=lb) for name in "ab")
    body = bytes(BYTES // 2)
    began = time.monotonic()
    for front in (one, other):
        assert front.get("/echo", method="POST", body=body).body == body
    assert time.monotonic() - began >= 0.74


def test_datagrams_beyond_the_bandwidth_are_dropped_and_counted(fulcrum, stage):
    front = stage.front(protocol="UDP", listener={"bandwidth": 8})
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((ADDRESS, 0))
    server.settimeout(5)
    stage.api.create(f"pools/{front.pool['id']}/members", "member", address=ADDRESS, protocol_port=server.getsockname()[1],
                     subnet_cidr_id=stage.subnet)
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(front.where)
        for _ in range(80):
            client.send(bytes(1200))

        def seen():
            return of_listener(fulcrum, front, "received_datagrams"), of_listener(fulcrum, front, "over_limit_datagrams")
        eventually(lambda: sum(seen()) == 80, what="all were looked at")
        passed, dropped = seen()
        # 64 KiB at once, and 1,000 bytes a second.
        assert 50 <= passed <= 65 and dropped == 80 - passed
        for _ in range(passed):
            assert len(server.recv(2000)) == 1200


def test_a_quic_listener_takes_as_many_connections_as_it_may(fulcrum, member, stage):
    front, ask = fronts(stage, "QUIC", [member("m")], connection=1)
    with Http3(front.where) as client:
        assert client.ask().body == b"m"
        with pytest.raises((Refused, ConnectionError)), Http3(front.where):
            pass
        assert client.ask().body == b"m"
    assert of_listener(fulcrum, front, "over_limit_connections") == 1
    front.edit(connection=0)
    assert ask("/echo", b"body") == b"body"


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
