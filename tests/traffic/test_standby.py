"""Active/standby pools: all new work is the master's while it is healthy, else the slave's."""

import pytest

from harness.dns import DnsMember, client, lookup
from harness.members import GreetMember
from harness.wait import eventually


def greeting(front):
    """Who answers a new connection; the connection stays open."""
    made = front.connect()
    return made.until(b"\n").decode(), made


def test_tcp_changes_over_and_back_and_connections_stay_where_they_are(member, stage):
    master, slave = member("master", kind=GreetMember), member("slave", kind=GreetMember)
    front = stage.standby(master, slave)
    for one in (master, slave):
        front.wait_status(one, "ONLINE")
    with greeting(front)[1]:
        assert [greeting(front)[0] for _ in range(10)] == ["master"] * 10
    master.stop()
    front.wait_status(master, "OFFLINE")
    name, kept = greeting(front)
    assert name == "slave" and [greeting(front)[0] for _ in range(10)] == ["slave"] * 10
    master.start()
    front.wait_status(master, "ONLINE")
    eventually(lambda: greeting(front)[0] == "master", what="new work goes back")
    assert [greeting(front)[0] for _ in range(10)] == ["master"] * 10
    kept.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        kept.socket.recv(1)
    kept.close()


def test_udp_changes_over_and_back(member, stage):
    master, slave = member("master", kind=DnsMember), member("slave", kind=DnsMember)
    front = stage.standby(master, slave, protocol="UDP", monitor={"type": "UDP_CONNECT"})
    front.wait_status(master, "ONLINE")
    front.wait_status(slave, "ONLINE")
    assert {lookup(front.where) for _ in range(10)} == {"master"}
    master.refuse()
    front.wait_status(master, "OFFLINE")
    kept = client()
    assert {lookup(front.where, sock=kept), *(lookup(front.where) for _ in range(10))} == {"slave"}
    master.start()
    front.wait_status(master, "ONLINE")
    assert {lookup(front.where) for _ in range(10)} == {"master"}
    assert lookup(front.where, sock=kept) == "slave", "the flow stays where it began"
