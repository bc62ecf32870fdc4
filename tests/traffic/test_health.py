"""Health checks: verdicts, thresholds, and the reasons that the API shows."""

import ssl

import pytest

from harness import pki
from harness.http_member import HttpMember
from harness.members import FullBacklog, ScriptMember, answers
from harness.wait import eventually, holds


def test_the_first_verdict_counts_at_once(member, stage):
    good, bad = member("good"), member("bad")
    bad.stop()
    front = stage.front([good, bad], monitor={"type": "TCP", "delay": 1, "max_retries": 10, "max_retries_down": 10})
    front.wait_status(good, "ONLINE", within=4)
    front.wait_status(bad, "OFFLINE", within=4)


def reason(front, server):
    """The reason of the member's listener entry, once it is OFFLINE."""
    shown = front.wait_status(server, "OFFLINE")
    (entry,) = shown["status"]
    assert entry["operating_status"] == "OFFLINE" and entry["listener_id"] == front.listener["id"]
    assert shown["reason"] == entry["reason"]
    return entry["reason"]


def test_reason_refused(member, stage):
    server = member()
    server.stop()
    front = stage.front([server], monitor={"type": "TCP"})
    assert reason(front, server)["reason_code"] == "CONNECT_REFUSED"


def test_reason_connect_timeout(stage):
    with FullBacklog() as server:
        front = stage.front([server], monitor={"type": "TCP"})
        assert reason(front, server)["reason_code"] == "CONNECT_TIMEOUT"


def test_reason_wrong_status_tells_both(member, stage):
    front = stage.front([member("a")], monitor={"type": "HTTP", "url_path": "/status/500", "expected_codes": "200-299"})
    server = next(iter(front.members))
    shown = reason(front, type("Named", (), {"name": server}))
    assert (shown["reason_code"], shown["expected_response"], shown["healthcheck_response"]) == ("RESPONSE_MISMATCH", "200-299", "500")


@pytest.mark.parametrize("script, code", [
    (answers(b"HELLO\r\n\r\n"), "RESPONSE_FORMAT_ERROR"),
    (answers(), {"RECV_RESPONSE_FAILED", "CONNECT_INTERRUPT"}),
    (answers(then="reset"), {"RECV_RESPONSE_FAILED", "CONNECT_INTERRUPT"}),
    (answers(then="hold"), "RECV_RESPONSE_TIMEOUT"),
], ids=["no HTTP", "closed without answer", "reset", "silent"])
def test_reasons_of_bad_answers(member, stage, script, code):
    server = member("script", kind=ScriptMember, script=script)
    front = stage.front([server], monitor={"type": "HTTP"})
    assert reason(front, server)["reason_code"] in (code if isinstance(code, set) else {code})


class TlsMember(HttpMember):
    """Ends TLS itself."""

    def serve(self, connection, peer):
        terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki.load(terms, pki.pair("inner.example.com"))
        try:
            with terms.wrap_socket(connection, server_side=True) as secure:
                super().serve(secure, peer)
        except OSError:
            # A probe that has seen enough resets its connection.
            pass


@pytest.mark.parametrize("kind", ["TLS", "HTTPS"])
def test_probes_over_tls(member, stage, kind):
    good, plain = member("good", kind=TlsMember), member("plain")
    front = stage.secure([good, plain], pool={"protocol": "HTTPS"}, monitor={"type": kind, "url_path": "/status/204", "expected_codes": "204"})
    front.wait_status(good, "ONLINE")
    assert reason(front, plain)["reason_code"] == "SSL_HANDSHAKE_ERROR"
    if kind == "HTTPS":
        assert {request.target for request in good.requests} == {"/status/204"}
        front.stage.api.update(f"healthmonitors/{front.monitor['id']}", "healthmonitor", expected_codes="200")
        assert reason(front, good)["reason_code"] == "RESPONSE_MISMATCH"


def test_a_probe_asks_what_the_monitor_says(member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/up?full=1", "domain_name": "probe.example.com", "http_method": "HEAD"})
    front.wait_status(server, "ONLINE")
    probe = server.requests[0]
    assert (probe.method, probe.target, probe.header("host")) == ("HEAD", "/up?full=1", ["probe.example.com"])
    assert server.malformed == []


def test_a_probe_goes_to_the_monitors_own_port(member, stage):
    server, health = member("server"), member("health")
    front = stage.front([server], monitor={"type": "HTTP", "monitor_port": health.port})
    front.wait_status(server, "ONLINE")
    assert server.connections == 0
    health.stop()
    front.wait_status(server, "OFFLINE")
    assert front.get().status == 503


def test_rise_and_fall_need_their_counts(member, stage):
    state = {"status": "200"}

    class Moody(HttpMember):
        def on_up(self, request, connection, reader, argument):
            return self.reply(connection, request, b"", status=f"{state['status']} Now")
    server = member("moody", kind=Moody)
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/up", "max_retries": 3, "max_retries_down": 3})
    front.wait_status(server, "ONLINE")
    state["status"] = "500"
    probes = server.count("/up")
    front.wait_status(server, "OFFLINE", within=10)
    assert 3 <= server.count("/up") - probes <= 5, "three failures in a row"
    state["status"] = "200"
    probes = server.count("/up")
    front.wait_status(server, "ONLINE", within=10)
    assert 3 <= server.count("/up") - probes <= 5, "three passes in a row"


def test_a_member_is_probed_once_per_interval_by_the_node(member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "TCP", "delay": 1})
    front.wait_status(server, "ONLINE")
    before = server.connections
    eventually(lambda: server.connections >= before + 3, within=5, what="three probes more")
    holds(lambda: server.connections <= before + 7, during=1, what="about one probe a second, whatever the number of workers")


def test_before_its_first_result_a_member_is_initial_and_gets_no_work(stage):
    with FullBacklog() as server:
        front = stage.front([server], monitor={"type": "TCP", "delay": 50, "timeout": 50})
        assert front.status(server)["operating_status"] == "INITIAL"
        assert front.get().status == 503


def test_a_monitor_switched_off_lets_all_members_work(api, member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/status/500"})
    front.wait_status(server, "OFFLINE")
    api.update(f"healthmonitors/{front.monitor['id']}", "healthmonitor", admin_state_up=False)
    assert front.get().status == 200
    api.update(f"healthmonitors/{front.monitor['id']}", "healthmonitor", admin_state_up=True)
    front.wait_status(server, "OFFLINE")
    api.delete(f"healthmonitors/{front.monitor['id']}")
    assert front.status(server)["operating_status"] == "NO_MONITOR"
    assert front.get().status == 200


def test_an_edited_monitor_judges_anew(api, member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/status/500"})
    front.wait_status(server, "OFFLINE")
    api.update(f"healthmonitors/{front.monitor['id']}", "healthmonitor", expected_codes="500")
    front.wait_status(server, "ONLINE")


def test_pool_health_one_sends_to_all_when_none_is_healthy(member, stage):
    server = member("a")
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/status/500"}, pool={"pool_health": {"minimum_healthy_member_count": 1}})
    front.wait_status(server, "OFFLINE")
    assert front.get().body == b"a"


def test_probes_go_on_for_a_pool_of_two_listeners(api, member, stage):
    """Health is kept for each (listener, pool) pair: the member has an entry for each listener."""
    server = member()
    lb = stage.load_balancer()
    pool = api.create("pools", "pool", type="instance", vpc_id=stage.vpc, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    for port in (8081, 8082):
        api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=port, default_pool_id=pool["id"])
    made = api.create(f"pools/{pool['id']}/members", "member", address=server.address, protocol_port=server.port, subnet_cidr_id=stage.subnet)
    stage.monitor(pool["id"], type="TCP")

    def both():
        status = api.show(f"pools/{pool['id']}/members/{made['id']}", "member")["status"]
        return len(status) == 2 and all(entry["operating_status"] == "ONLINE" for entry in status)
    eventually(both, what="online under both listeners")
