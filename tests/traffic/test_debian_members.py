"""Real members: HAProxy reads the PROXY headers that we write, dnsmasq answers dig, over UDP and TCP."""

import pytest

from harness import tls
from harness.debian import DnsmasqMember, HaproxyMember, dig
from harness.http1 import Connection


@pytest.fixture
def daemon(member, tmp_path):
    """`daemon("a", HaproxyMember)`."""
    return lambda name, kind: member(name, kind=lambda name: kind(name, tmp_path))


def said(answer):
    """Source, destination and name, as HAProxy heard of them."""
    assert answer.status == 200, answer
    source, destination, *name = answer.body.decode().split(" ")
    return source, destination, " ".join(name)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_reads_the_headers_that_a_pool_sends(daemon, stage, version):
    server = daemon("haproxy", HaproxyMember)
    front = stage.front([server], protocol="TCP", pool={"member_proxy_protocol": version})
    for source in ("127.0.8.1", "127.0.8.2"):
        with Connection(front.where, source=source) as client:
            port = client.socket.getsockname()[1]
            for _ in range(3):
                assert said(client.ask()) == (f"{source}:{port}", f"{front.where[0]}:{front.where[1]}", "")


def test_haproxy_reads_what_a_tls_listener_says_of_its_clients(daemon, stage):
    server = daemon("haproxy", HaproxyMember)
    front = stage.front([server], protocol="TLS", listener={"default_tls_container_ref": stage.certificate()["id"], "proxy_protocol_enable": True},
                        pool={"protocol": "TCP", "ip_version": "v4"})
    with tls.Secure(front.where, source="127.0.8.3") as client:
        port = client.socket.getsockname()[1]
        assert said(client.ask()) == (f"127.0.8.3:{port}", f"{front.where[0]}:{front.where[1]}", tls.SITE)


@pytest.mark.parametrize("kind", ["TCP", "HTTP"])
def test_health_checks_of_members_that_want_the_header(daemon, stage, kind):
    server = daemon("haproxy", HaproxyMember)
    front = stage.front([server], protocol="TCP", pool={"member_proxy_protocol": "v2"}, monitor={"type": kind})
    front.wait_status(server, "ONLINE")
    with front.connect() as client:
        assert client.ask().status == 200


def test_dig_asks_dnsmasq_over_udp_and_tcp(daemon, stage):
    server = daemon("dnsmasq", DnsmasqMember)
    over_udp = stage.front([server], protocol="UDP", monitor={"type": "UDP_CONNECT"})
    lb, port = over_udp.load_balancer, over_udp.where[1]
    over_tcp = stage.api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=port)
    pool = stage.api.create("pools", "pool", protocol="TCP", lb_algorithm="ROUND_ROBIN", listener_id=over_tcp["id"])
    stage.api.create(f"pools/{pool['id']}/members", "member", address=server.address, protocol_port=server.port, subnet_cidr_id=stage.subnet)
    over_udp.wait_status(server, "ONLINE")
    for tcp in (False, True):
        assert dig(over_udp.where, "site.test", "A", tcp=tcp) == ["192.0.2.7"]
        assert dig(over_udp.where, "who.test", "TXT", tcp=tcp) == ['"dnsmasq"']
    whole = dig(over_udp.where, "long.test", "TXT", tcp=True)
    assert len("".join(whole)) > 1500
    assert dig(over_udp.where, "long.test", "TXT") == whole, "cut over UDP, so dig asks again over TCP"


def test_names_are_shared_out_over_servers(daemon, stage):
    servers = [daemon(name, DnsmasqMember) for name in ("one", "two", "three")]
    front = stage.front(servers, protocol="UDP")
    assert {dig(front.where, "who.test", "TXT")[0] for _ in range(12)} == {'"one"', '"two"', '"three"'}
