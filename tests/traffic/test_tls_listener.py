"""TLS listeners: TLS ends at the load balancer, what is inside is relayed as it is (behaviour/features.md section 2)."""

import contextlib
import ssl
import struct

import pytest

from harness import pki, tls
from harness.http1 import Connection
from harness.http_member import BLOCK, HttpMember
from harness.members import EchoMember, GreetMember, ScriptMember
from harness.tls import REFUSALS, Secure, context, suite_with
from harness.wait import eventually


@pytest.fixture
def offload(member, stage):
    """Makes a TLS listener before a TCP pool of these members."""
    def made(members, **listener):
        fields = {"default_tls_container_ref": stage.certificate()["id"], "tls_ciphers_policy": "tls-1-0-with-1-3", **listener}
        return stage.front(members, protocol="TLS", listener=fields, pool={"protocol": "TCP", "ip_version": "v4"})
    return made


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2", "TLSv1"])
def test_bytes_go_both_ways_in_every_version(member, offload, version):
    front = offload([member("e", kind=EchoMember)])
    with Secure(front.where, context=context(version=version)) as client:
        for size in (1, 1000, 65536, 3_000_000):
            data = (BLOCK * 50)[:size]
            client.send(data)
            assert client.exactly(size) == data


def test_the_member_may_speak_first(member, offload):
    front = offload([member("hello", kind=GreetMember)])
    with Secure(front.where) as client:
        assert client.until(b"\n") == b"hello"


def test_no_protocol_is_agreed_on_and_http_inside_is_the_members_affair(member, offload):
    front = offload([member("a", kind=HttpMember)])
    with Secure(front.where, context=context(alpn=["h2", "http/1.1"])) as client:
        assert client.socket.selected_alpn_protocol() is None
        answer = client.ask("/request")
        assert b"x-forwarded" not in answer.body.lower(), "nothing is written into what is relayed"


def test_certificates_by_name_and_mutual_tls(member, stage, offload):
    clients = pki.Authority()
    ca = stage.beside("certificates", "certificate", type="client", certificate=clients.pem)
    other = stage.certificate("b.example.com", domain="b.example.com")["id"]
    front = offload([member("e", kind=EchoMember)], client_ca_tls_container_ref=ca["id"], sni_container_refs=[other])
    pair = clients.issue("client.example.com")
    for name in (tls.SITE, "b.example.com"):
        with Secure(front.where, context=context(client=pair), name=name) as client:
            assert client.certificate == pki.pair(name).der
            assert client.send(b"x").exactly(1) == b"x"
    with pytest.raises(REFUSALS), Secure(front.where) as client:
        client.send(b"x").exactly(1)


def test_the_clients_end_reaches_the_member_and_its_rest_comes_back(member, offload):
    front = offload([member("end", kind=EchoMember)])
    with Secure(front.where) as client:
        assert client.send(b"last words").exactly(10) == b"last words"
        # close_notify goes out, and what the member says to it comes in, which Python's socket does not let us read.
        with pytest.raises(ssl.SSLError, match="after close notify"):
            client.socket.unwrap()


def test_plain_bytes_on_the_port_are_no_session(member, offload):
    server = member("e", kind=EchoMember)
    front = offload([server])
    for bytes_ in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00" * 64):
        with Connection(front.where) as client:
            # An alert may come before the end, and the end may be a reset.
            with contextlib.suppress(ConnectionResetError):
                assert bytes_ not in client.send(bytes_).rest()
    assert server.connections == 0


def test_without_a_member_the_client_is_reset(offload):
    front = offload([])
    with pytest.raises(REFUSALS), Secure(front.where) as client:
        client.send(b"x").exactly(1)


def read_header(connection):
    """A header of the PROXY protocol, version 2: (command and family, address bytes, extensions by type)."""
    head = b""
    while len(head) < 16:
        head += connection.recv(16 - len(head))
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n"
    (length,) = struct.unpack("!H", head[14:])
    rest = b""
    while len(rest) < length:
        rest += connection.recv(length - len(rest))
    addresses, rest, found = rest[:12], rest[12:], {}
    while rest:
        kind, size = struct.unpack("!BH", rest[:3])
        found[kind], rest = rest[3:3 + size], rest[3 + size:]
    return head[12:14], addresses, found


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.1"])
def test_the_proxy_protocol_tells_members_of_the_client(member, stage, offload, version):
    seen = []

    def script(connection, server):
        seen.append(read_header(connection))
        while piece := connection.recv(1000):
            connection.sendall(piece)
    front = offload([member("p", kind=ScriptMember, script=script)], proxy_protocol_enable=True)
    with Secure(front.where, context=context(version=version)) as client:
        assert client.send(b"behind the header").exactly(17) == b"behind the header"
        own = client.socket.getsockname()
        suite = client.suite
    kind, addresses, extensions = seen[0]
    assert kind == b"\x21\x11", "PROXY, TCP over IPv4"
    source, destination, *ports = struct.unpack("!4s4sHH", addresses)
    assert (".".join(map(str, source)), ports[0]) == own
    assert (".".join(map(str, destination)), ports[1]) == front.where
    assert extensions[0x02] == tls.SITE.encode()
    facts = extensions[0x20]
    assert facts[0] == 1 and version.encode() in facts and suite.encode() in facts
    front.edit(proxy_protocol_enable=False)
    echo = member("e", kind=EchoMember)
    front.remove(type("Named", (), {"name": "p"}))
    front.add(echo)
    with Secure(front.where) as client:
        assert client.send(b"no header").exactly(9) == b"no header"


def test_a_change_of_policy_leaves_connections_alone(member, offload):
    front = offload([member("e", kind=EchoMember)])
    with Secure(front.where) as client:
        assert client.send(b"1").exactly(1) == b"1"
        front.edit(tls_ciphers_policy="tls-1-2-strict")
        eventually(lambda: suite_with(front.where, version="TLSv1.3") is None, what="the new policy")
        assert client.send(b"2").exactly(1) == b"2"
        assert client.socket.version() == "TLSv1.3"
