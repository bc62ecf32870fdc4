"""TLS pools: what clients of a TLS listener say goes to its members over TLS (behaviour/features.md section 2)."""

import ssl
import struct

import pytest

from harness import metrics, pki
from harness.http_member import BLOCK
from harness.members import EchoMember, GreetMember, TcpMember
from harness.tls import REFUSALS, Secure, context
from harness.wait import eventually

INNER = "db.shop.internal"
OTHER = pki.Authority()


class Secured(TcpMember):
    """Ends TLS itself, and then is what it is elsewhere. `sessions` are (version, whether resumed, protocol agreed on)."""

    shown, version = None, ssl.TLSVersion.TLSv1_3

    def __init__(self, *arguments, **options):
        self.terms, self.sessions = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
        pki.load(self.terms, self.shown or pki.pair(INNER))
        self.terms.set_alpn_protocols(["smtp"])
        self.terms.maximum_version = self.version
        super().__init__(*arguments, **options)

    def serve(self, connection, peer):
        with self.terms.wrap_socket(connection, server_side=True) as secure:
            self.sessions.append((secure.version(), secure.session_reused, secure.selected_alpn_protocol()))
            super().serve(secure, peer)


class SecureEcho(Secured, EchoMember):
    """An echo over TLS."""


class OldEcho(Secured, EchoMember):
    """An echo over TLS 1.2."""
    version = ssl.TLSVersion.TLSv1_2


class SecureGreeter(Secured, GreetMember):
    """Speaks first, over TLS."""


class ForeignEcho(Secured, EchoMember):
    """Shows a certificate of another authority."""
    shown = OTHER.issue(INNER)


class BriefMember(TcpMember):
    """Says one thing and ends."""

    def serve(self, connection, peer):
        connection.sendall(b"all I say")


class SecureBrief(Secured, BriefMember):
    """The same over TLS."""


@pytest.fixture
def relay(stage):
    """Makes a TLS listener before a TLS pool of these members."""
    def made(members, *, pool=None, monitor=None, **listener):
        fields = {"default_tls_container_ref": stage.certificate()["id"], "tls_ciphers_policy": "tls-1-0-with-1-3", **listener}
        return stage.front(members, protocol="TLS", listener=fields, pool=pool, monitor=monitor)
    return made


@pytest.mark.parametrize("kind", [SecureEcho, OldEcho], ids=["member 1.3", "member 1.2"])
@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2", "TLSv1"])
def test_bytes_go_both_ways_in_every_version(member, relay, version, kind):
    server = member("e", kind=kind)
    front = relay([server])
    with Secure(front.where, context=context(version=version)) as client:
        # One thread: Python's TLS sockets are not for two.
        for size in (1, 1000, *[65536] * 50):
            data = BLOCK[:size]
            client.send(data)
            assert client.exactly(size) == data
    assert server.sessions == [("TLSv1.2" if kind is OldEcho else "TLSv1.3", False, None)]


def test_the_member_may_speak_first(member, relay):
    front = relay([member("hello", kind=SecureGreeter)])
    with Secure(front.where) as client:
        assert client.until(b"\n") == b"hello"


def test_sessions_with_members_are_resumed(member, relay):
    server = member("e", kind=SecureEcho)
    front = relay([server])
    for _ in range(12):
        with Secure(front.where) as client:
            assert client.send(b"x").exactly(1) == b"x"
    resumed = [resumed for _, resumed, _ in server.sessions]
    assert resumed.count(False) <= 4, f"one full handshake per worker at most: {resumed}"


def test_the_clients_end_reaches_the_member_and_its_rest_comes_back(member, relay):
    front = relay([member("end", kind=SecureEcho)])
    with Secure(front.where) as client:
        assert client.send(b"last words").exactly(10) == b"last words"
        # close_notify goes out, and what the member says to it comes in, which Python's socket does not let us read.
        with pytest.raises(ssl.SSLError, match="after close notify"):
            client.socket.unwrap()


def test_the_members_end_reaches_the_client(member, relay):
    front = relay([member("brief", kind=SecureBrief)])
    with Secure(front.where) as client:
        assert client.rest() == b"all I say"


def test_members_that_speak_no_tls_are_passed_over(member, relay):
    plain, dead, good = member("plain", kind=GreetMember), member("dead", kind=SecureEcho), member("good", kind=SecureEcho)
    dead.refuse()
    front = relay([plain, dead, good])
    for _ in range(6):
        with Secure(front.where) as client:
            assert client.send(b"first words").exactly(11) == b"first words"
    front.remove(good)
    with pytest.raises(REFUSALS), Secure(front.where) as client:
        client.send(b"x").exactly(1)


def test_a_monitor_of_tls_finds_who_speaks_it(member, relay):
    plain, good = member("plain", kind=GreetMember), member("good", kind=SecureEcho)
    front = relay([plain, good], monitor={"type": "TLS"})
    front.wait_status(good, "ONLINE")
    front.wait_status(plain, "OFFLINE")


@pytest.mark.parametrize("how", [{"proxy_protocol_enable": True}, {"pool": {"member_proxy_protocol": "v2"}}], ids=["listener", "pool"])
def test_the_proxy_header_goes_in_clear_before_the_session(member, relay, how):
    seen = []

    class Introduced(SecureEcho):
        """Reads a PROXY header before its session."""

        def serve(self, connection, peer):
            head = connection.recv(16, 0x100)  # MSG_WAITALL
            assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n", head
            if length := struct.unpack("!H", head[14:])[0]:
                seen.append(head[12:14] + connection.recv(length, 0x100))
            super().serve(connection, peer)
    server = member("p", kind=Introduced)
    front = relay([server], **how, monitor={"type": "TLS"})
    front.wait_status(server, "ONLINE")
    for number in range(2):
        with Secure(front.where) as client:
            assert client.send(b"behind it").exactly(9) == b"behind it"
            source, destination, *ports = struct.unpack("!4s4sHH", seen[number][2:14])
            assert seen[number][:2] == b"\x21\x11", "PROXY, TCP over IPv4; probes say LOCAL"
            assert (".".join(map(str, source)), ports[0]) == client.socket.getsockname()
            assert (".".join(map(str, destination)), ports[1]) == front.where


def test_members_that_have_to_prove_who_they_are(fulcrum, member, stage, relay):
    ca = stage.beside("certificates", "certificate", type="client", certificate=pki.authority().pem)["id"]
    good, foreign = member("good", kind=SecureEcho), member("foreign", kind=ForeignEcho)
    front = relay([foreign, good], pool={"member_tls": {"ca_certificate_id": ca, "server_name": INNER}})
    for _ in range(4):
        with Secure(front.where) as client:
            assert client.send(b"secret").exactly(6) == b"secret"
    refused = metrics.total(metrics.scrape(fulcrum), "fulcrum_member_unverified_total", pool=front.pool["id"])
    assert refused > 0 and foreign.sessions == []
    front.edit_pool(member_tls=None)
    front.remove(good)
    with Secure(front.where) as client:
        assert client.send(b"anybody").exactly(7) == b"anybody"


def test_of_a_standby_pool_who_serves_has_to_prove_it(member, stage):
    ca = stage.beside("certificates", "certificate", type="client", certificate=pki.authority().pem)["id"]
    master, slave = member("master", kind=SecureEcho), member("slave", kind=ForeignEcho)
    proof = {"ca_certificate_id": ca, "server_name": INNER}
    front = stage.standby(master, slave, protocol="TLS", member_tls=proof, listener={"default_tls_container_ref": stage.certificate()["id"]})
    assert stage.api.show(f"master-slave-pools/{front.pool['id']}", "pool")["member_tls"] == proof
    front.wait_status(master, "ONLINE")
    front.wait_status(slave, "ONLINE")
    with Secure(front.where) as client:
        assert client.send(b"secret").exactly(6) == b"secret"
    master.stop()
    front.wait_status(master, "OFFLINE")
    with pytest.raises(REFUSALS), Secure(front.where) as client:
        client.send(b"secret").exactly(6)
    assert slave.sessions == []


def test_a_member_that_leaves_keeps_its_sessions_until_the_delay_is_over(member, relay):
    """10 s is the shortest that the API takes."""
    server = member("e", kind=SecureEcho)
    front = relay([server], pool={"connection_drain": {"enable": True, "timeout": 10}})
    with Secure(front.where, deadline=30) as client:
        assert client.send(b"x").exactly(1) == b"x"
        front.remove(server)
        assert client.send(b"y").exactly(1) == b"y"
        with pytest.raises((*REFUSALS, EOFError)):
            client.exactly(1)
    eventually(lambda: server.open == 0, what="the member's side is closed, too")


def test_bytes_are_counted_as_those_of_other_listeners(fulcrum, member, relay):
    front = relay([member("e", kind=SecureEcho)])
    def counted(name, **labels):
        return metrics.total(metrics.scrape(fulcrum), name, **labels)
    with Secure(front.where) as client:
        assert client.send(b"x" * 1000).exactly(1000) == b"x" * 1000
        for way in ("received", "sent"):
            name = f"fulcrum_listener_{way}_bytes_total"
            eventually(lambda name=name: counted(name, listener=front.listener["id"]) == 1000, what=name)
    assert counted("fulcrum_member_connections_total", pool=front.pool["id"]) == 1
