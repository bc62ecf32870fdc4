"""Which member gets the work: shares, sticky sources, failover, weights, live edits."""

import threading
from collections import Counter

import pytest

from harness.http1 import Connection
from harness.members import EchoMember, GreetMember
from harness.wait import eventually, holds


def shares(names):
    """How often each name occurs."""
    return Counter(names)


def test_equal_weights_share_evenly(member, stage):
    front = stage.front([member(name) for name in "abc"])
    found = shares(front.names(90))
    assert set(found) == set("abc")
    assert max(found.values()) - min(found.values()) <= 3, found


def test_keep_alive_requests_are_spread_one_by_one(member, stage):
    front = stage.front([member(name) for name in "abc"])
    with front.connect() as client:
        found = shares(client.ask().body.decode() for _ in range(60))
    assert found == {"a": 20, "b": 20, "c": 20}, found


def test_weights_give_shares(member, stage):
    front = stage.front([member("light"), member("heavy")], weights={0: 1, 1: 3})
    with front.connect() as client:
        found = shares(client.ask().body.decode() for _ in range(80))
    assert found == {"light": 20, "heavy": 60}, found


def test_weight_zero_takes_no_new_work(member, stage):
    front = stage.front([member("on"), member("off")], weights={1: 0})
    assert set(front.names(20)) == {"on"}


def test_a_weight_change_counts_at_once(member, stage):
    servers = [member("a"), member("b")]
    front = stage.front(servers)
    front.weigh(servers[0], 0)
    assert set(front.names(10)) == {"b"}
    front.weigh(servers[0], 1)
    front.weigh(servers[1], 0)
    assert set(front.names(10)) == {"a"}


def test_a_member_that_is_added_begins_with_a_small_share_of_a_pool_with_slow_start(member, stage):
    front = stage.front([member("old")], pool={"slow_start": {"enable": True, "duration": 1200}})
    assert set(front.names(10)) == {"old"}
    front.add(member("new"))
    assert shares(front.names(60))["new"] <= 6
    stage.api.update(f"pools/{front.pool['id']}", "pool", slow_start={"enable": False})
    assert shares(front.names(60))["new"] >= 27


def test_all_weights_zero_is_as_all_unhealthy(member, stage):
    front = stage.front([member()], weights={0: 0})
    answer = front.get()
    assert (answer.status, answer.header("x-router-code")) == (503, "50000")


def test_least_connections_prefers_the_idle_member(member, stage):
    busy, idle = member("busy"), member("idle")
    front = stage.front([busy, idle], pool={"lb_algorithm": "LEAST_CONNECTIONS"})
    held = []
    while len(held) < 8:  # both get some; busy keeps what it gets
        client = front.connect()
        held.append(client.request("/gate"))
        eventually(lambda: busy.count("/gate") + idle.count("/gate") == len(held), what="the held request arrived")
    assert (busy.count("/gate"), idle.count("/gate")) == (4, 4), "equal load is shared"
    idle.gate.set()
    eventually(lambda: sum(1 for client in held if _answered(client)) == 4, what="idle's four answers")
    assert set(front.names(12)) == {"idle"}, "four requests still wait in busy"
    busy.gate.set()
    for client in held:
        client.close()


def _answered(client):
    client.socket.settimeout(0.05)
    try:
        return bool(client._buffer) or client._fill()
    except TimeoutError:
        return False


def test_least_connections_counts_by_weight(member, stage):
    light, heavy = member("light"), member("heavy")
    front = stage.front([light, heavy], pool={"lb_algorithm": "LEAST_CONNECTIONS"}, weights={0: 1, 1: 3})
    held = []
    for number in range(1, 13):
        held.append(front.connect().request("/gate"))
        eventually(lambda: light.count("/gate") + heavy.count("/gate") == number, what="the held request arrived")
    assert (light.count("/gate"), heavy.count("/gate")) == (3, 9)
    for server in (light, heavy):
        server.gate.set()
    for client in held:
        assert client.answer().status == 200
        client.close()


SOURCES = [f"127.0.3.{last}" for last in range(1, 61)]


def by_source(front):
    """Which member each source address gets."""
    return {source: front.get(source=source).body.decode() for source in SOURCES}


def test_a_source_keeps_its_member_and_sources_are_spread(member, stage):
    front = stage.front([member(name) for name in "abcd"], pool={"lb_algorithm": "SOURCE_IP"})
    first = by_source(front)
    assert by_source(front) == first
    assert set(first.values()) == set("abcd")
    assert max(shares(first.values()).values()) <= 30, "no member has half of them"


def test_when_a_member_leaves_mostly_its_own_sources_move(member, stage):
    servers = {name: member(name) for name in "abcd"}
    front = stage.front(list(servers.values()), pool={"lb_algorithm": "SOURCE_IP"})
    before = by_source(front)
    front.remove(servers["c"])
    after = by_source(front)
    stayed = [source for source in SOURCES if before[source] != "c"]
    moved = [source for source in stayed if before[source] != after[source]]
    assert "c" not in after.values()
    assert len(moved) <= len(stayed) * 0.15, f"{len(moved)} of {len(stayed)} moved without need"


def test_source_ip_takes_no_notice_of_weights_but_zero(member, stage):
    servers = [member("a"), member("b")]
    front = stage.front(servers, pool={"lb_algorithm": "SOURCE_IP"}, weights={0: 1, 1: 100})
    found = shares(by_source(front).values())
    assert found["a"] >= 15 and found["b"] >= 15, found
    front.weigh(servers[1], 0)
    assert set(by_source(front).values()) == {"a"}


def test_an_algorithm_change_counts_at_once(member, stage):
    front = stage.front([member(name) for name in "ab"], pool={"lb_algorithm": "SOURCE_IP"})
    assert len(set(front.names(10))) == 1
    front.edit_pool(lb_algorithm="ROUND_ROBIN")
    assert len(set(front.names(10))) == 2


def test_a_dead_member_costs_no_request(member, stage):
    dying, living = member("dying"), member("living")
    front = stage.front([dying, living])
    assert set(front.names(10)) == {"dying", "living"}
    dying.stop()
    assert front.names(20) == ["living"] * 20, "without any monitor: a refused connection goes to another member"


def test_a_monitor_takes_a_dead_member_out_and_back(member, stage):
    dying, living = member("dying"), member("living")
    front = stage.front([dying, living], monitor={"type": "TCP"})
    for server in (dying, living):
        front.wait_status(server, "ONLINE")
    dying.stop()
    front.wait_status(dying, "OFFLINE")
    connections = dying.connections
    assert front.names(10) == ["living"] * 10
    assert dying.connections == connections
    dying.start()
    front.wait_status(dying, "ONLINE")
    assert set(front.names(10)) == {"dying", "living"}


def test_an_added_member_works_at_once_and_a_removed_one_never_again(member, stage):
    first, second = member("first"), member("second")
    front = stage.front([first])
    front.add(second)
    assert set(front.names(10)) == {"first", "second"}
    front.remove(first)
    assert set(front.names(10)) == {"second"}


def test_removing_a_member_finishes_what_it_works_on(member, stage):
    leaving, staying = member("leaving"), member("staying")
    front = stage.front([leaving])
    with front.connect() as client:
        client.request("/gate")
        eventually(lambda: leaving.count("/gate") == 1, what="the request arrived")
        front.add(staying)
        front.remove(leaving)
        assert set(front.names(5)) == {"staying"}
        leaving.gate.set()
        assert client.answer().body == b"leaving"


def test_members_need_keep_few_connections(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        for _ in range(50):
            client.ask()
    assert server.connections <= 2, "upstream connections are kept and used again"


# -- TCP

def test_tcp_connections_share_evenly_and_by_weight(member, stage):
    front = stage.front([member("a", kind=GreetMember), member("b", kind=GreetMember)], protocol="TCP", weights={0: 1, 1: 2})

    def greeting():
        with front.connect() as client:
            return client.until(b"\n").decode()
    found = shares(greeting() for _ in range(60))
    assert abs(found["a"] - 20) <= 3 and found["a"] + found["b"] == 60, found


def test_tcp_goes_to_another_member_when_one_refuses(member, stage):
    dead, living = member("dead", kind=GreetMember), member("living", kind=GreetMember)
    front = stage.front([dead, living], protocol="TCP")
    dead.stop()
    for _ in range(10):
        with front.connect() as client:
            assert client.until(b"\n") == b"living"


def test_tcp_without_a_usable_member_is_no_connection(member, stage):
    dead = member("dead", kind=GreetMember)
    front = stage.front([dead], protocol="TCP", monitor={"type": "TCP"})
    front.wait_status(dead, "ONLINE")
    dead.stop()
    front.wait_status(dead, "OFFLINE")
    try:
        with front.connect() as client:
            assert client.is_closed()
    except ConnectionError:
        pass


# -- live edits

EDITS = ["listener", "pool", "member", "monitor", "other listener", "other load balancer", "header switch"]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_closes_no_connection(member, stage, edit):
    server, other = member("a"), member("b")
    front = stage.front([server])
    tcp = stage.front([member("echo", kind=EchoMember)], protocol="TCP")
    with front.connect() as client, tcp.connect() as flow, front.connect() as waiting:
        assert client.ask().status == 200
        assert flow.send(b"one").exactly(3) == b"one"
        waiting.request("/gate")
        eventually(lambda: server.count("/gate") == 1, what="the request arrived")
        if edit == "listener":
            front.edit(description="edited", keepalive_timeout=100)
        elif edit == "pool":
            front.edit_pool(description="edited", lb_algorithm="LEAST_CONNECTIONS")
        elif edit == "member":
            front.add(other)
            front.weigh(other, 5)
            front.remove(other)
        elif edit == "monitor":
            monitor = stage.monitor(front.pool["id"], type="TCP")
            stage.api.update(f"healthmonitors/{monitor['id']}", "healthmonitor", delay=2)
            stage.api.delete(f"healthmonitors/{monitor['id']}")
        elif edit == "other listener":
            made = stage.front([other], load_balancer=front.load_balancer)
            stage.api.delete(f"listeners/{made.listener['id']}/force")
        elif edit == "other load balancer":
            made = stage.front([other])
            stage.api.delete(f"loadbalancers/{made.load_balancer['id']}/force-elb")
        else:
            front.edit(insert_headers={"X-Forwarded-Port": True})
            assert b"x-forwarded-port" in client.ask("/request").body.lower(), "it counts on connections that live"
        assert client.ask().body == b"a"
        assert flow.send(b"two").exactly(3) == b"two"
        server.gate.set()
        assert waiting.answer().body == b"a"


def test_a_deleted_listener_takes_no_new_connection(member, stage):
    front = stage.front([member()])
    stage.api.delete(f"listeners/{front.listener['id']}/force")
    with pytest.raises(ConnectionRefusedError):
        front.connect()


def test_many_clients_at_once_all_get_their_own_answer(member, stage):
    front = stage.front([member(name) for name in "ab"])
    wrong = []

    def one(number):
        with front.connect() as client:
            for turn in range(20):
                body = f"{number}-{turn}".encode()
                if client.ask("/echo", method="POST", body=body).body != body:
                    wrong.append(body)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == [] and not any(thread.is_alive() for thread in threads)


def test_stays_quiet_between_requests(member, stage):
    """A member without traffic and monitor is left alone: no probing of kept connections."""
    server = member()
    front = stage.front([server])
    front.get()
    count = (server.connections, len(server.requests))
    holds(lambda: (server.connections, len(server.requests)) == count, during=0.5, what="nothing reaches an idle member")


def test_ports_of_two_load_balancers_do_not_mix(member, stage):
    first = stage.front([member("first")])
    second = stage.front([member("second")])
    with Connection(first.where) as one, Connection(second.where) as two:
        assert (one.ask().body, two.ask().body) == (b"first", b"second")
    with pytest.raises(ConnectionRefusedError):
        Connection((first.where[0], second.where[1]))
