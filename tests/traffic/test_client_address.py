"""Members of TCP and UDP listeners see the client's address as the source, where a node is told to (docs/guide/client-address.md)."""

import contextlib
import os
import socket
import threading

import pytest

from harness import metrics
from harness.fulcrum import binary
from harness.http1 import Connection
from harness.http_member import HttpMember
from harness.members import ScriptMember
from harness.ports import family
from harness.three_machines import CLIENT, CLIENT6, MEMBER, MEMBER6, NODE, NODE6, VIP, Place

TRANSPARENT = {"dataplane": {"transparent_client_address": True}}


@pytest.fixture
def place(tmp_path):
    """Makes the machines of a test: `place(transparent_client_address=True)`."""
    made = []

    def make(**dataplane):
        made.append(Place(tmp_path / f"node-{len(made)}", **dataplane))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def shown(peer):
    """An address and a port."""
    return "{} {}".format(*peer[:2]).encode()


def tell(connection, server):
    """A script: says who the peer is, and then sends back what comes."""
    connection.sendall(shown(connection.getpeername()) + b"\n")
    while piece := connection.recv(65536):
        connection.sendall(piece)


@pytest.fixture
def teller():
    """Servers that run on that machine: `teller(machine)`."""
    made = []

    def make(machine, name="teller", kind=ScriptMember, address=MEMBER):
        with machine.inside():
            script = (tell,) if kind is ScriptMember else ()
            made.append(kind(*script, name, address=address))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def peer_seen(place, front):
    """Whom the member sees when the client connects, and whom the client is."""
    with place.client.inside(), Connection(front.where) as client:
        seen = client.until(b"\n").strip()
        data = os.urandom(300_000)
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        assert client.exactly(len(data)) == data, "it goes on both ways"
        sender.join()
        return seen, shown(client.socket.getsockname())


def test_a_connection_comes_from_its_client_with_its_port(place, teller):
    here = place(transparent_client_address=True)
    for source, front in ((CLIENT, here.front([teller(here.member)], protocol="TCP")),
                          (CLIENT6, here.front6([teller(here.member, address=MEMBER6)], protocol="TCP"))):
        for _ in range(3):
            seen, client = peer_seen(here, front)
            assert seen == client and seen.startswith(f"{source} ".encode())


def test_a_member_of_the_other_family_sees_the_node(place, teller):
    here = place(transparent_client_address=True)
    front = here.front6([teller(here.member)], protocol="TCP")
    assert peer_seen(here, front)[0].startswith(f"{NODE} ".encode())


def test_without_the_switch_members_see_the_node(place, teller):
    here = place()
    for source, front in ((NODE, here.front([teller(here.member)], protocol="TCP")),
                          (NODE6, here.front6([teller(here.member, address=MEMBER6)], protocol="TCP"))):
        assert peer_seen(here, front)[0].startswith(f"{source} ".encode())


def test_members_without_a_subnet_and_members_of_http_see_the_node(place, teller):
    here = place(transparent_client_address=True)
    bare, web = teller(here.member), teller(here.member, "web", kind=HttpMember)
    with here.node.inside():
        lb = here.stage.load_balancer(vip_address=VIP, ip_target_enable=True)
        front = here.stage.front(protocol="TCP", load_balancer=lb)
        here.stage.api.create(f"pools/{front.pool['id']}/members", "member", address=MEMBER, protocol_port=bare.port)
        http = here.stage.front([web], load_balancer=lb)
    assert peer_seen(here, front)[0].startswith(f"{NODE} ".encode())
    with here.client.inside():
        assert http.get().status == 200
    assert web.requests[0].header("x-forwarded-for") == [CLIENT]
    assert {request.peer[0] for request in web.requests} == {NODE}


@pytest.mark.parametrize("address", [MEMBER, MEMBER6])
def test_datagrams_come_from_their_client(place, address):
    here = place(transparent_client_address=True)
    with here.member.inside():
        server = socket.socket(family(address), socket.SOCK_DGRAM)
        server.bind((address, 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                _, peer = server.recvfrom(2000)
                server.sendto(shown(peer), peer)
    threading.Thread(target=serve, daemon=True).start()
    member = type("Named", (), {"name": "u", "address": address, "port": server.getsockname()[1]})
    front = (here.front if address == MEMBER else here.front6)([member], protocol="UDP")
    with here.client.inside():
        for _ in range(3):
            with socket.socket(family(address), socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.connect(front.where)
                for _ in range(3):
                    client.send(b"who am I?")
                    assert client.recv(100) == shown(client.getsockname())
    with here.member.inside():
        server.close()


def test_probes_come_from_the_node_and_a_member_without_a_way_back_is_not_noticed_by_them(place, teller):
    """A member whose answers do not come by the node is healthy by its probes; its clients are reset in the end."""
    here = place(transparent_client_address=True)
    server = teller(here.member)
    front = here.front([server], protocol="TCP", monitor={"type": "TCP"})
    with here.node.inside():
        front.wait_status(server, "ONLINE")
    here.member.ip("route", "del", "default")
    with here.client.inside(), Connection(front.where) as client, pytest.raises((ConnectionError, TimeoutError)):
        client.until(b"\n")
    with here.node.inside():
        assert front.status(server)["operating_status"] == "ONLINE"
        unserved = metrics.total(metrics.scrape(here.fulcrum), "fulcrum_listener_unserved_total", listener=front.listener["id"])
        assert unserved == 1
    here.member.ip("route", "add", "default", "via", NODE)
    seen, client = peer_seen(here, front)
    assert seen == client


def test_a_process_that_may_not_says_what_it_needs(tmp_path, start):
    without = tmp_path / "without-privileges"
    without.write_text(f'#!/bin/sh\nexec setpriv --inh-caps=-net_admin,-net_raw --bounding-set=-net_admin,-net_raw -- {binary()} "$@"\n')
    without.chmod(0o755)
    with pytest.raises(RuntimeError, match="transparent_client_address.*permission denied; run with CAP_NET_ADMIN or CAP_NET_RAW"):
        start(config=TRANSPARENT, program=without)
    assert start(program=without).process.poll() is None, "without the switch it needs no privilege"
