"""What the node itself lacks is not held against members."""

from pathlib import Path

import pytest

from harness import config, metrics
from harness.fulcrum import Fulcrum
from harness.http1 import Connection
from harness.members import EchoMember
from harness.netns import Machine, cable
from harness.stage import Stage

VIP, MEMBER = "10.203.1.1", "10.203.1.2"
NETWORK = {"networks": [{"name": "default", "subnets": [{"name": "default", "cidr": "10.203.0.0/16", "gateway": "10.203.0.1"}]}]}
PORTS = 2


@pytest.fixture
def node(tmp_path):
    """A node, its members beside it, and a client on another machine: (the node's machine, the client's, the process, its stage)."""
    node, client = machines = [Machine("node"), Machine("client")]
    cable(client, "192.0.2.9/24", node, "192.0.2.1/24")
    client.ip("route", "add", "10.203.1.0/24", "via", "192.0.2.1")
    for address in (VIP, MEMBER):
        node.ip("address", "add", f"{address}/32", "dev", "lo")
    fulcrum = Fulcrum(tmp_path / "node", config=config.merged(NETWORK, {"dataplane": {"workers": 1}}))
    try:
        with node.inside():
            stage = Stage(fulcrum.start())
        yield node, client, fulcrum, stage
    finally:
        fulcrum.stop()
        for machine in machines:
            machine.remove()


def test_members_are_not_blamed_for_a_node_without_ports(node):
    node, client, fulcrum, stage = node
    with node.inside():
        members = [EchoMember(name, address=MEMBER) for name in "ab"]
        front = stage.front(members, protocol="TCP", load_balancer=stage.load_balancer(vip_address=VIP),
                            pool={"outlier_detection": {"connect_failures": 1, "ejection_time": 300}})
        ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
        plenty = ports.read_text()
        ports.write_text(f"40000 {40000 + PORTS - 1}")
    open_ones, refused = [], 0
    with client.inside():
        for _ in range(PORTS * len(members) + 4):
            try:
                one = Connection(front.where)
                assert one.send(b"x").exactly(1) == b"x"
                open_ones.append(one)
            except ConnectionError:
                refused += 1
    assert len(open_ones) == PORTS * len(members) and refused == 4, "each port leads to each member once"
    with node.inside():
        ports.write_text(plenty)
        page = metrics.scrape(fulcrum)
        count = {name: metrics.total(page, f"fulcrum_member_{name}_total", pool=front.pool["id"])
                 for name in ("connects_not_begun", "connect_failures", "ejections")}
        assert count["connects_not_begun"] >= 4 and (count["connect_failures"], count["ejections"]) == (0, 0), count
    with client.inside():
        for _ in members:
            with Connection(front.where) as one:
                assert one.send(b"x").exactly(1) == b"x", "both serve"
    with node.inside():
        for member in members:
            member.stop()
