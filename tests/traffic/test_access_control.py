"""Access control by IP groups: who may not connect sees the connection end, and no byte of HTTP."""

import time

import pytest

from harness.http1 import Connection
from harness.metrics import scrape, total
from harness.members import EchoMember
from harness.wait import eventually


def is_let_in(front, source):
    """Whether a client at that address is served. One that is not must not see a single byte."""
    try:
        with Connection(front.where, source=source, deadline=5) as client:
            client.request("/", headers=[("Connection", "close")])
            seen = client.rest()
    except OSError:
        return False
    assert seen == b"" or seen.startswith(b"HTTP/1.1 200"), seen
    return bool(seen)


def group(stage, *spans):
    """An IP group."""
    return stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": span} for span in spans])


def guard(group, kind, enabled=True):
    """The listener's field."""
    return {"ipgroup": {"ipgroup_id": group["id"], "type": kind, "enable_ipgroup": enabled}}


INSIDE, OUTSIDE = ["127.4.0.1", "127.5.0.9", "127.6.0.20"], ["127.4.0.2", "127.5.1.1", "127.6.0.21"]


@pytest.mark.parametrize("kind, inside", [("white", True), ("black", False)])
def test_lists_of_addresses_networks_and_ranges(member, stage, kind, inside):
    spans = group(stage, "127.4.0.1", "127.5.0.0/24", "127.6.0.10-127.6.0.20", "2001:db8::/32")
    front = stage.front([member()], listener=guard(spans, kind))
    for sources, expected in ((INSIDE, inside), (OUTSIDE, not inside)):
        assert [is_let_in(front, source) for source in sources] == [expected] * len(sources)


def test_an_empty_white_list_blocks_everybody(member, stage):
    front = stage.front([member()], listener=guard(group(stage), "white"))
    assert not is_let_in(front, "127.4.0.1")
    front.edit(ipgroup={"type": "black"})
    assert is_let_in(front, "127.4.0.1")


def test_a_switch_turns_it_off(member, stage):
    spans = group(stage, "127.4.0.1")
    front = stage.front([member()], listener=guard(spans, "white", enabled=False))
    assert is_let_in(front, "127.4.0.2")
    front.edit(ipgroup={"enable_ipgroup": True})
    assert not is_let_in(front, "127.4.0.2")


def test_a_group_of_many_listeners_is_changed_in_all_of_them(member, stage):
    spans, server, lb = group(stage, "127.4.0.1"), member(), stage.load_balancer()
    fronts = [stage.front([server], listener=guard(spans, "white"), load_balancer=lb) for _ in range(8)]
    assert not any(is_let_in(front, "127.4.0.7") for front in fronts)
    stage.api._expect("POST", f"ipgroups/{spans['id']}/iplist/create-or-update", 200, {"ipgroup": {"ip_list": [{"ip": "127.4.0.7"}]}})
    assert all(is_let_in(front, source) for front in fronts for source in ("127.4.0.1", "127.4.0.7"))
    stage.api.update(f"ipgroups/{spans['id']}", "ipgroup", ip_list=[{"ip": "127.4.0.9"}])
    assert not any(is_let_in(front, "127.4.0.7") for front in fronts)


def test_connections_from_before_live_on(member, stage):
    front = stage.front([member("a")])
    with front.connect(source="127.4.0.1") as client:
        assert client.ask().member == "a"
        front.edit(**guard(group(stage, "127.4.0.1"), "black"))
        assert client.ask().member == "a"
    assert not is_let_in(front, "127.4.0.1")


def test_layer_4_is_guarded_and_the_member_hears_nothing(member, stage):
    server = member("e", kind=EchoMember)
    front = stage.front([server], protocol="TCP", listener=guard(group(stage, "127.4.0.1"), "white"))
    with front.connect(source="127.4.0.1") as client:
        assert client.send(b"hello").exactly(5) == b"hello"
    with pytest.raises(OSError), front.connect(source="127.4.0.2") as client:
        client.send(b"hello")
        if client.rest() == b"":
            raise ConnectionResetError
    assert server.connections == 1


def test_who_is_denied_is_counted(fulcrum, member, stage):
    front = stage.front([member()], listener=guard(group(stage, "127.4.0.1"), "white"))
    for _ in range(5):
        assert not is_let_in(front, "127.4.0.2")
    assert is_let_in(front, "127.4.0.1")
    listener = {"listener": front.listener["id"]}

    def counted():
        found = scrape(fulcrum)
        return total(found, "fulcrum_listener_denied_connections_total", **listener) == 5 and total(found, "fulcrum_listener_connections_total", **listener) == 1
    eventually(counted, what="five denied, one accepted")


def test_a_full_group_costs_no_more_than_a_small_one(member, stage):
    full = group(stage, *(f"10.{n // 250}.{n % 250}.1" for n in range(299)), "127.4.0.1")
    front = stage.front([member()], listener=guard(full, "white"))
    started = time.monotonic()
    assert [is_let_in(front, f"127.4.0.{1 + n % 2}") for n in range(40)] == [True, False] * 20
    assert time.monotonic() - started < 10
