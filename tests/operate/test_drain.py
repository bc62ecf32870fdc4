"""Draining: what is taken out of service gets nothing new, and what it has may end."""

import pytest

from harness.members import EchoMember
from harness.wait import eventually

# The shortest delay that the API takes, seconds.
SHORTEST = 10


def test_a_pool_that_says_nothing_has_the_default_delay(stage):
    pool = stage.front(protocol="TCP").pool
    assert pool["connection_drain"] == {"enable": True, "timeout": 300}


@pytest.mark.parametrize("leave", ["remove", "weigh"])
def test_flows_of_a_member_that_leaves_end_by_the_delay(member, stage, leave):
    server = member("echo", kind=EchoMember)
    drains = {"shortest": {"enable": True, "timeout": SHORTEST}, "off": {"enable": False}, "default": None}
    fronts = {name: stage.front([server], protocol="TCP", pool={"connection_drain": drain} if drain else None) for name, drain in drains.items()}
    flows = {name: front.connect(deadline=SHORTEST + 15) for name, front in fronts.items()}
    for flow in flows.values():
        assert flow.send(b"a").exactly(1) == b"a"
    for front in fronts.values():
        front.remove(server) if leave == "remove" else front.weigh(server, 0)
    if leave == "remove":
        assert flows["off"].is_closed()
    else:
        assert flows["off"].send(b"b").exactly(1) == b"b", "it goes on without a delay"
    assert flows["shortest"].send(b"b").exactly(1) == b"b", "the delay has begun"
    with pytest.raises(ConnectionError), fronts["shortest"].connect() as new:
        new.send(b"c").exactly(1)
    assert flows["shortest"].is_closed()
    assert flows["default"].send(b"c").exactly(1) == b"c"
    for flow in flows.values():
        flow.close()


def test_a_removed_servers_requests_are_answered_and_no_other_fails(member, stage):
    leaving, staying = member("leaving"), member("staying")
    front = stage.front([leaving])
    with front.connect() as slow:
        slow.request("/gate")
        eventually(lambda: leaving.count("/gate") == 1, what="it is under way")
        front.add(staying)
        front.remove(leaving)
        assert set(front.names(10)) == {"staying"}
        leaving.gate.set()
        answer = slow.answer()
        assert (answer.status, answer.body, answer.header("connection")) == (200, b"leaving", None)
        assert slow.ask().body == b"staying", "the client's connection goes on"


def test_a_listener_that_is_deleted_asks_its_clients_to_close(member, stage):
    server = member("x")
    front = stage.front([server])
    with front.connect() as slow, front.connect() as idle:
        idle.ask()
        slow.request("/gate")
        eventually(lambda: server.count("/gate") == 1, what="it is under way")
        stage.api.delete(f"listeners/{front.listener['id']}/force")
        with pytest.raises(ConnectionRefusedError):
            front.connect()
        server.gate.set()
        for answer in (slow.answer(), idle.ask()):
            assert (answer.body, answer.header("connection")) == (b"x", "close")
        assert slow.is_closed() and idle.is_closed()
