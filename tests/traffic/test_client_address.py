"""Members of TCP and UDP listeners see the client's address as the source, where a node is told to (docs/guide/client-address.md).

Three machines: a client, the node, and a member whose answers to anybody go by the node.
"""

import contextlib
import os
import socket
import threading

import pytest

from harness import config, metrics
from harness.fulcrum import Fulcrum, binary
from harness.http1 import Connection
from harness.http_member import HttpMember
from harness.members import ScriptMember
from harness.netns import Machine, cable
from harness.stage import Stage

CLIENT, VIP, NODE, MEMBER = "192.0.2.9", "10.203.1.1", "10.203.2.1", "10.203.2.2"
NETWORK = {"networks": [{"name": "default", "subnets": [{"name": "default", "cidr": "10.203.0.0/16", "gateway": "10.203.0.1"}]}]}
TRANSPARENT = {"dataplane": {"transparent_client_address": True}}


class Place:
    """The three machines; `front` builds on the node, `client` and `member` say where something runs."""

    def __init__(self, directory, **dataplane):
        self.machines = self.client, self.node, self.member = [Machine(role) for role in ("client", "node", "member")]
        cable(self.client, f"{CLIENT}/24", self.node, "192.0.2.1/24")
        cable(self.member, f"{MEMBER}/24", self.node, f"{NODE}/24")
        self.node.ip("address", "add", f"{VIP}/32", "dev", "lo")
        self.client.ip("route", "add", "10.203.1.0/24", "via", "192.0.2.1")
        self.member.ip("route", "add", "default", "via", NODE)
        # What comes back from members is the node's own, whomever it is addressed to.
        self.node.ip("rule", "add", "iif", "to-member", "lookup", "100")
        self.node.ip("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
        self.fulcrum = Fulcrum(directory, config=config.merged(NETWORK, {"dataplane": dataplane}))
        with self.node.inside():
            self.stage = Stage(self.fulcrum.start())

    def front(self, members, **options):
        """A listener on the node."""
        with self.node.inside():
            return self.stage.front(members, load_balancer=self.stage.load_balancer(vip_address=VIP), **options)

    def stop(self):
        """Takes everything away."""
        self.fulcrum.stop()
        for machine in self.machines:
            machine.remove()


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


def tell(connection, server):
    """A script: says who the peer is, and then sends back what comes."""
    connection.sendall("{}:{}\n".format(*connection.getpeername()).encode())
    while piece := connection.recv(65536):
        connection.sendall(piece)


@pytest.fixture
def teller():
    """Servers that run on that machine: `teller(machine)`."""
    made = []

    def make(machine, name="teller", kind=ScriptMember, **options):
        with machine.inside():
            script = (tell,) if kind is ScriptMember else ()
            made.append(kind(*script, name, address=MEMBER, **options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def peer_seen(place, front):
    """Whom the member sees when the client connects, and whom the client is."""
    with place.client.inside(), Connection(front.where) as client:
        seen = client.until(b"\n").decode()
        data = os.urandom(300_000)
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        assert client.exactly(len(data)) == data, "it goes on both ways"
        sender.join()
        return seen, "{}:{}".format(*client.socket.getsockname())


def test_a_connection_comes_from_its_client_with_its_port(place, teller):
    here = place(transparent_client_address=True)
    front = here.front([teller(here.member)], protocol="TCP")
    for _ in range(3):
        seen, client = peer_seen(here, front)
        assert seen == client and seen.startswith(f"{CLIENT}:")


def test_without_the_switch_members_see_the_node(place, teller):
    here = place()
    front = here.front([teller(here.member)], protocol="TCP")
    assert peer_seen(here, front)[0].startswith(f"{NODE}:")


def test_members_without_a_subnet_and_members_of_http_see_the_node(place, teller):
    here = place(transparent_client_address=True)
    bare, web = teller(here.member), teller(here.member, "web", kind=HttpMember)
    with here.node.inside():
        lb = here.stage.load_balancer(vip_address=VIP, ip_target_enable=True)
        front = here.stage.front(protocol="TCP", load_balancer=lb)
        here.stage.api.create(f"pools/{front.pool['id']}/members", "member", address=MEMBER, protocol_port=bare.port)
        http = here.stage.front([web], load_balancer=lb)
    assert peer_seen(here, front)[0].startswith(f"{NODE}:")
    with here.client.inside():
        assert http.get().status == 200
    assert web.requests[0].header("x-forwarded-for") == [CLIENT]
    assert {request.peer[0] for request in web.requests} == {NODE}


def test_datagrams_come_from_their_client(place):
    here = place(transparent_client_address=True)
    with here.member.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((MEMBER, 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                _, peer = server.recvfrom(2000)
                server.sendto("{}:{}".format(*peer).encode(), peer)
    threading.Thread(target=serve, daemon=True).start()
    member = type("Named", (), {"name": "u", "address": MEMBER, "port": server.getsockname()[1]})
    front = here.front([member], protocol="UDP")
    with here.client.inside():
        for _ in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.connect(front.where)
                for _ in range(3):
                    client.send(b"who am I?")
                    assert client.recv(100).decode() == "{}:{}".format(*client.getsockname())
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
