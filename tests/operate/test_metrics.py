"""/metrics: valid OpenMetrics, and it counts what happened."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness import tls
from harness.api import Api
from harness.members import EchoMember
from harness.metrics import scrape, total
from harness.wait import eventually


def test_http_is_counted(fulcrum, member, stage):
    front = stage.front([member("a"), member("b")])
    with front.connect() as client:
        for _ in range(10):
            client.ask()
        client.ask("/status/404")
        client.ask("/echo", method="POST", body=b"x" * 10_000)
    listener = {"listener": front.listener["id"]}

    def counted():
        found = scrape(fulcrum)
        assert total(found, "fulcrum_listener_requests_total", **listener) == 12
        assert total(found, "fulcrum_listener_connections_total", **listener) == 1
        assert total(found, "fulcrum_listener_active_connections", **listener) == 0
        assert total(found, "fulcrum_listener_responses_total", **{"class": "2xx"}, **listener) == 11
        assert total(found, "fulcrum_listener_responses_total", **{"class": "4xx"}, **listener) == 1
        assert total(found, "fulcrum_listener_received_bytes_total", **listener) > 10_000
        assert total(found, "fulcrum_listener_sent_bytes_total", **listener) > 10_000
        assert [total(found, "fulcrum_member_requests_total", member=id) for id in front.members.values()] == [6, 6]
        return True
    eventually(counted, what="twelve requests counted")


def test_own_answers_are_counted_apart(fulcrum, stage):
    front = stage.front()
    front.get()
    with front.connect() as client:
        client.send(b"nonsense\r\n\r\n").answer()
    listener = {"listener": front.listener["id"]}

    def counted():
        found = scrape(fulcrum)
        assert total(found, "fulcrum_listener_own_responses_total", status="404", **listener) == 1
        assert total(found, "fulcrum_listener_own_responses_total", status="400", **listener) == 1
        return True
    eventually(counted, what="the two own answers")


def test_tcp_is_counted(fulcrum, member, stage):
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP")
    listener = {"listener": front.listener["id"]}
    with front.connect() as client:
        assert client.send(b"x" * 1000).exactly(1000)
        eventually(lambda: total(scrape(fulcrum), "fulcrum_listener_active_connections", **listener) == 1, what="one active")

    def counted():
        found = scrape(fulcrum)
        assert total(found, "fulcrum_listener_connections_total", **listener) == 1
        assert total(found, "fulcrum_listener_active_connections", **listener) == 0
        assert total(found, "fulcrum_listener_received_bytes_total", **listener) == 1000
        return True
    eventually(counted, what="one connection counted")


def test_handshakes_are_counted_by_what_came_of_them(fulcrum, member, stage):
    front = stage.secure([member("a")], listener={"tls_ciphers_policy": "tls-1-2"})
    listener, terms = {"listener": front.listener["id"]}, tls.context()
    with tls.Secure(front.where, context=terms) as client:
        client.ask()
        session = client.socket.session
    with tls.Secure(front.where, context=terms, session=session) as client:
        client.ask()
        assert client.socket.session_reused
    assert tls.suite_with(front.where, version="TLSv1") is None
    with front.connect() as client:
        client.send(b"\x16\x03\x01")

    def counted():
        found = scrape(fulcrum)
        stand = {kind: total(found, "fulcrum_listener_tls_handshakes_total", resumed=kind, **listener) for kind in ("false", "true")}
        assert stand == {"false": 1, "true": 1}
        failed = {why: total(found, "fulcrum_listener_tls_handshakes_failed_total", reason=why, **listener) for why in ("version", "client_gone")}
        assert failed == {"version": 1, "client_gone": 1}
        return True
    eventually(counted, what="four handshakes counted")


def test_health_is_shown(fulcrum, member, stage):
    up, down = member("up"), member("down")
    down.stop()
    front = stage.front([up, down], monitor={"type": "TCP"})
    front.wait_status(down, "OFFLINE")
    front.wait_status(up, "ONLINE")
    found = scrape(fulcrum)
    assert total(found, "fulcrum_member_up", member=front.members["up"]) == 1
    assert ("fulcrum_member_up", front.members["down"]) in {(name, dict(labels).get("member")) for name, labels in found}
    assert total(found, "fulcrum_member_up", member=front.members["down"]) == 0


def test_series_go_with_their_object(fulcrum, member, stage):
    front = stage.front([member()])
    front.get()
    ids = {front.listener["id"], *front.members.values()}

    def seen():
        return {value for _, labels in scrape(fulcrum) for _, value in labels} & ids
    eventually(lambda: seen() == ids, what="series of the new objects")
    stage.api.delete(f"loadbalancers/{front.load_balancer['id']}/force-elb")
    eventually(lambda: not seen(), what="no series of deleted objects")


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_names_follow_the_rules(fulcrum, kind):
    page = Api(fulcrum.endpoint, None).request("GET", "/metrics").text
    families = [family for family in text_string_to_metric_families(page) if family.type == kind]
    assert families and all(family.name.startswith(("fulcrum_", "process_")) and family.documentation for family in families)
