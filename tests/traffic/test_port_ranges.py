"""TCP listeners of ranges of ports, and pools whose members are reached on the port that the client used."""

import socket

import pytest

from harness.members import GreetMember
from harness.http1 import Connection
from harness.ports import listener_port


def free_ports(count, address="127.88.250.1"):
    """So many ports in a row on which nothing listens."""
    for _ in range(50):
        first = listener_port()
        try:
            for port in range(first, first + count):
                with socket.create_server((address, port)):
                    pass
            return first
        except OSError:
            continue
    pytest.fail("no free ports in a row")


def test_each_port_of_the_ranges_is_served_and_no_other(member, stage, api):
    first = free_ports(6)
    lb = stage.load_balancer()
    ranges = [{"start_port": first, "end_port": first + 1}, {"start_port": first + 4, "end_port": first + 4}]
    listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=0, port_ranges=ranges)
    assert (listener["protocol_port"], listener["port_ranges"]) == (0, ranges)
    pool = api.create("pools", "pool", lb_algorithm="ROUND_ROBIN", protocol="TCP", listener_id=listener["id"])
    server = member("one", kind=GreetMember)
    api.create(f"pools/{pool['id']}/members", "member", address=server.address, protocol_port=server.port, subnet_cidr_id=stage.subnet)
    for port in range(first, first + 6):
        if port - first in (0, 1, 4):
            with Connection((lb["vip_address"], port)) as client:
                assert client.until(b"\n") == b"one"
        else:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((lb["vip_address"], port), timeout=5)


def test_an_any_port_pool_keeps_the_clients_port(member, stage, api):
    first = free_ports(2)
    lb = stage.load_balancer()
    ranges = [{"start_port": first, "end_port": first + 1}]
    listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=0, port_ranges=ranges)
    pool = api.create("pools", "pool", lb_algorithm="ROUND_ROBIN", protocol="TCP", listener_id=listener["id"], any_port_enable=True)
    servers = [member(f"on-{port}", kind=GreetMember, port=port) for port in (first, first + 1)]
    api.create(f"pools/{pool['id']}/members", "member", address=servers[0].address, subnet_cidr_id=stage.subnet)
    for number in (0, 1):
        with Connection((lb["vip_address"], first + number)) as client:
            assert client.until(b"\n") == f"on-{first + number}".encode()
