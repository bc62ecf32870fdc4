"""Listeners on a VIP of IPv6, before members of IPv6 and of IPv4, on a network."""

import socket

import pytest

from harness.http1 import Connection
from harness.http2 import Http2
from harness.http3 import Http3
from harness.http_member import HttpMember
from harness.members import DatagramMember, EchoMember
from harness.three_machines import CLIENT6, MEMBER, MEMBER6, NODE, NODE6, Place


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def both(place):
    """A server of each family on the members' machine: `both(kind)`."""
    made = []

    def make(kind):
        with place.member.inside():
            made.extend(kind(name, address=address) for name, address in (("six", MEMBER6), ("four", MEMBER)))
        return made[-2:]
    yield make
    with place.member.inside():
        for member in made:
            member.stop()


def test_requests_reach_members_of_both_families_and_tell_of_the_client(place, both):
    members = both(HttpMember)
    front = place.front6(members, protocol="HTTP", monitor={"type": "HTTP"})
    with place.node.inside():
        for member in members:
            front.wait_status(member, "ONLINE")
    with place.client.inside(), Connection(front.where) as client:
        answers = [client.ask(host=f"[{front.where[0]}]:{front.where[1]}") for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.member for answer in answers} == {"six", "four"}
    for member, node in zip(members, (NODE6, NODE), strict=True):
        asked = [request for request in member.requests if request.header("x-forwarded-for")]
        assert {(tuple(request.header("x-forwarded-for")), request.peer[0]) for request in asked} == {((CLIENT6,), node)}


def test_bytes_reach_members_of_both_families(place, both):
    members = both(EchoMember)
    front = place.front6(members, protocol="TCP")
    with place.client.inside():
        for _ in range(4):
            with Connection(front.where) as client:
                client.send(b"over IPv6")
                assert client.exactly(9) == b"over IPv6"
    assert all(member.connections for member in members)


def test_datagrams_reach_members_of_both_families(place, both):
    front = place.front6(both(DatagramMember), protocol="UDP")
    with place.client.inside():
        for _ in range(4):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.connect(front.where)
                client.send(b"over IPv6")
                assert client.recv(100) == b"over IPv6"


def test_a_health_check_of_udp_asks_members_of_ipv6_by_echo_and_hears_of_closed_ports(place, both):
    six, _ = both(DatagramMember)
    front = place.front6([six], protocol="UDP", monitor={"type": "UDP_CONNECT"})
    with place.node.inside():
        front.wait_status(six, "ONLINE")
    with place.member.inside():
        six.stop()
    with place.node.inside():
        front.wait_status(six, "OFFLINE")


def test_http2_and_http3_also_through_an_upgrade(place, both):
    six, _ = both(HttpMember)
    with place.node.inside():
        certificate = place.stage.certificate(kind="RSA")["id"]
    tls = {"default_tls_container_ref": certificate}
    secure = place.front6([six], protocol="HTTPS", listener={**tls, "http2_enable": True}, pool={"protocol": "HTTP"})
    with place.node.inside():
        quic = place.stage.front(load_balancer=secure.load_balancer, protocol="QUIC", listener=tls, pool={"protocol": "HTTP", "ip_version": "dualstack"})
        quic.add(six, subnet=place.subnet6)

    def answers():
        with place.client.inside(), Http2(secure.where) as two, Http3((secure.where[0], quic.where[1])) as three:
            return [two.ask().status, three.ask().status]
    assert answers() == [200, 200]
    with place.node.inside():
        place.fulcrum.upgrade()
    assert answers() == [200, 200]
