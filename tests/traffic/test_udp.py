"""UDP listeners: name servers behind them, asked over UDP and TCP."""

import contextlib
import random
import socket

import dns.exception
import pytest

from harness.dns import DnsMember, client, lookup
from harness.members import DatagramMember
from harness.metrics import scrape, total
from harness.wait import eventually, holds


def names(front, count, **options):
    """Who answers each of `count` clients."""
    return [lookup(front.where, **options) for _ in range(count)]


def served(front, **options):
    """Who answers, or None when nobody does within a moment."""
    with contextlib.suppress(dns.exception.Timeout):
        return lookup(front.where, timeout=0.3, **options)


def test_names_are_looked_up_over_udp_and_long_answers_over_tcp(member, stage):
    server = member("ns", kind=DnsMember)
    front = stage.front([server], protocol="UDP")
    lb, port = front.load_balancer, front.where[1]
    over_tcp = stage.api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=port)
    pool = stage.api.create("pools", "pool", protocol="TCP", lb_algorithm="ROUND_ROBIN", listener_id=over_tcp["id"])
    stage.api.create(f"pools/{pool['id']}/members", "member", address=server.address, protocol_port=server.port,
                     subnet_cidr_id=stage.subnet)
    assert lookup(front.where) == "ns"
    assert lookup(front.where, "long.example.") is None, "cut, to be asked for over TCP"
    assert lookup(front.where, "long.example.", tcp=True) == "ns"
    assert server.connections == 1 and server.questions == 2


def test_clients_are_shared_out_and_each_keeps_its_server(member, stage):
    servers = [member(name, kind=DnsMember) for name in "abc"]
    front = stage.front(servers, protocol="UDP")
    clients = [client() for _ in range(30)]
    first = [lookup(front.where, sock=one) for one in clients]
    assert all(9 <= first.count(name) <= 11 for name in "abc"), first
    assert [lookup(front.where, sock=one) for one in clients] == first


def test_weights_hold_at_once_and_living_flows_stay(member, stage):
    servers = [member(name, kind=DnsMember) for name in "ab"]
    front = stage.front(servers, protocol="UDP")
    clients = [client() for _ in range(10)]
    first = [lookup(front.where, sock=one) for one in clients]
    assert set(first) == {"a", "b"}
    front.weigh(servers[0], 0)
    assert set(names(front, 10)) == {"b"}
    assert [lookup(front.where, sock=one) for one in clients] == first


@pytest.mark.parametrize("pool", [
    {"lb_algorithm": "SOURCE_IP"},
    {"session_persistence": {"type": "SOURCE_IP", "persistence_timeout": 5}},
], ids=["hash", "stickiness"])
def test_a_client_address_reaches_one_server(member, stage, pool):
    servers = [member(name, kind=DnsMember) for name in "abcd"]
    front = stage.front(servers, protocol="UDP", pool=pool)
    of_sources = [set(names(front, 3, source=f"127.0.5.{host}")) for host in range(1, 25)]
    assert all(len(reached) == 1 for reached in of_sources)
    assert len(set.union(*of_sources)) > 1


def test_without_a_delay_a_removed_server_is_asked_no_more_also_by_those_who_had_it(member, stage):
    servers = [member(name, kind=DnsMember) for name in "ab"]
    front = stage.front(servers, protocol="UDP", pool={"connection_drain": {"enable": False}})
    clients = [client() for _ in range(6)]
    assert {lookup(front.where, sock=one) for one in clients} == {"a", "b"}
    front.remove(servers[0])
    assert [lookup(front.where, sock=one) for one in clients] == ["b"] * 6


def test_a_removed_server_keeps_its_flows_for_the_delay_and_gets_no_new_ones(member, stage):
    servers = [member(name, kind=DnsMember) for name in "ab"]
    front = stage.front(servers, protocol="UDP", pool={"connection_drain": {"enable": True, "timeout": 10}})
    clients = [client() for _ in range(6)]
    first = [lookup(front.where, sock=one) for one in clients]
    front.remove(servers[0])
    assert [lookup(front.where, sock=one) for one in clients] == first
    assert set(names(front, 6)) == {"b"}
    eventually(lambda: {served(front, sock=one) for one in clients} == {"b"}, within=20, what="the delay is over")


def test_a_server_that_refuses_is_passed_over_before_any_health_check(member, stage):
    servers = [member(name, kind=DnsMember) for name in "ab"]
    front = stage.front(servers, protocol="UDP")
    one = client()
    owner = {server.name: server for server in servers}[lookup(front.where, sock=one)]
    owner.refuse()
    eventually(lambda: served(front, sock=one) not in (None, owner.name), what="the same client is served by the other")
    assert all(name != owner.name for name in (served(front) for _ in range(20)))


def test_health_checks_find_who_refuses_and_who_is_back(member, stage):
    servers = [member(name, kind=DnsMember) for name in "ab"]
    front = stage.front(servers, protocol="UDP", monitor={"type": "UDP_CONNECT"})
    for server in servers:
        front.wait_status(server, "ONLINE")
    servers[0].refuse()
    shown = front.wait_status(servers[0], "OFFLINE")
    assert shown["reason"]["reason_code"] == "CONNECT_REFUSED", shown["reason"]
    assert set(names(front, 10)) == {"b"}
    servers[0].start()
    front.wait_status(servers[0], "ONLINE")
    assert set(names(front, 10)) == {"a", "b"}


def test_who_may_not_ask_gets_silence(member, stage):
    front = stage.front([member("ns", kind=DnsMember)], protocol="UDP")
    group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "127.0.6.0/24"}])
    front.edit(ipgroup={"ipgroup_id": group["id"], "type": "black", "enable_ipgroup": True})
    assert served(front, source="127.0.6.1") is None
    assert lookup(front.where, source="127.0.5.1") == "ns"
    stage.api.update(f"ipgroups/{group['id']}", "ipgroup", ip_list=[{"ip": "127.0.7.0/24"}])
    eventually(lambda: served(front, source="127.0.6.1") == "ns", what="the group let it go")


def test_what_passes_is_counted(fulcrum, member, stage):
    server = member("ns", kind=DnsMember)
    front = stage.front([server], protocol="UDP")
    one = client()
    for _ in range(3):
        lookup(front.where, sock=one)
    lookup(front.where)
    samples = scrape(fulcrum)
    of_listener = {"listener": front.listener["id"]}
    for name, expect in [("connections_total", 2), ("active_connections", 2), ("received_datagrams_total", 4), ("sent_datagrams_total", 4)]:
        assert total(samples, f"fulcrum_listener_{name}", **of_listener) == expect, name
    of_member = {"member": front.members["ns"]}
    assert total(samples, "fulcrum_member_sent_datagrams_total", **of_member) == 4
    assert total(samples, "fulcrum_member_received_bytes_total", **of_member) == total(samples, "fulcrum_listener_sent_bytes_total", **of_listener) > 100


def test_a_flow_ends_when_it_is_idle_for_the_listeners_timeout(fulcrum, member, stage):
    front = stage.front([member("ns", kind=DnsMember)], protocol="UDP", listener={"keepalive_timeout": 10})
    one = client()
    lookup(front.where, sock=one)

    def living():
        return total(scrape(fulcrum), "fulcrum_listener_active_connections", listener=front.listener["id"])
    holds(lambda: living() == 1, during=7, what="the flow lives")
    lookup(front.where, sock=one)
    holds(lambda: living() == 1, during=7, what="what was said counts from anew")
    eventually(lambda: living() == 0, within=10, what="the flow ends")


def test_servers_come_and_go_and_nobody_who_is_elsewhere_loses_anything(member, stage):
    steady, comer = member("steady", kind=DnsMember), member("comer", kind=DnsMember)
    front = stage.front([steady], protocol="UDP")
    clients = [client() for _ in range(10)]
    assert [lookup(front.where, sock=one) for one in clients] == ["steady"] * 10
    for round in range(15):
        front.remove(comer) if round % 2 else front.add(comer)
        assert [lookup(front.where, sock=one) for one in clients] == ["steady"] * 10


@pytest.mark.parametrize("sizes", [[64], [1200], [9000], [1, 65_000], range(1, 1473)], ids=["small", "QUIC's", "jumbo", "least and most", "mixed"])
def test_bursts_of_every_size_come_back_whole(member, stage, sizes):
    """Datagrams in bursts, as what is taken and sent many at a time must stay apart; no more are under way than sockets hold."""
    front = stage.front([member("echo", kind=DatagramMember)], protocol="UDP")
    rng = random.Random(5)
    with socket.socket(type=socket.SOCK_DGRAM) as asker:
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        asker.settimeout(5)
        asker.connect(front.where)
        asker.send(b"first")
        assert asker.recv(100) == b"first", "the flow has begun"
        for number in range(60):
            burst = [rng.randbytes(rng.choice(sizes)) for _ in range(16 if max(sizes) < 2000 else 3)]
            for one in burst:
                asker.send(one)
            assert sorted(asker.recv(65535) for _ in burst) == sorted(burst), f"burst {number}"
