"""Listeners through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness.ports import listener_port
from harness.sdk import refused_with


@pytest.mark.covers("CreateListener", "ShowListener")
def test_a_new_http_listener_has_the_documented_defaults(elb, stage):
    lb = stage.load_balancer()
    port = listener_port()
    made = elb.create("Listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=port)
    shown = elb.show("Listener", made.id)
    assert shown.to_dict() == made.to_dict()
    expected = {"name": "", "description": "", "admin_state_up": True, "protocol": "HTTP", "protocol_port": port, "connection_limit": -1,
                "default_pool_id": None, "default_tls_container_ref": None, "client_ca_tls_container_ref": None, "sni_container_refs": [],
                "http2_enable": False, "enable_member_retry": True, "keepalive_timeout": 60, "client_timeout": 60, "member_timeout": 60,
                "ipgroup": None, "transparent_client_ip_enable": True, "tags": [], "enterprise_project_id": "0",
                "enhance_l7policy_enable": False, "protection_status": "nonProtection", "project_id": stage.api.project_id}
    assert {key: getattr(shown, key) for key in expected} == expected
    assert [ref.id for ref in shown.loadbalancers] == [lb["id"]]
    assert [ref.id for ref in elb.show("LoadBalancer", lb["id"]).listeners] == [made.id]


@pytest.mark.covers("CreateListener")
def test_a_new_tcp_listener_has_the_documented_defaults(elb, stage):
    made = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="TCP", protocol_port=listener_port())
    assert (made.keepalive_timeout, made.client_timeout, made.member_timeout) == (300, None, None)


def test_inserted_headers_have_defaults_and_keep_what_is_set(api, stage):
    lb = stage.load_balancer()
    made = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    assert made["insert_headers"]["X-Forwarded-Host"] is True
    changed = api.update(f"listeners/{made['id']}", "listener", insert_headers={"X-Forwarded-Port": True, "X-Forwarded-Host": False})
    assert (changed["insert_headers"]["X-Forwarded-Port"], changed["insert_headers"]["X-Forwarded-Host"]) == (True, False)


@pytest.mark.covers("UpdateListener")
def test_an_update_changes_what_it_names_and_nothing_else(elb, stage):
    front = stage.front(listener={"name": "before", "description": "kept"})
    changed = elb.update("Listener", front.listener["id"], name="after", keepalive_timeout=10)
    assert (changed.name, changed.keepalive_timeout, changed.description, changed.client_timeout) == ("after", 10, "kept", 60)
    assert changed.default_pool_id == front.pool["id"]


def test_null_takes_the_default_pool_away(api, stage):
    front = stage.front()
    changed = api.update(f"listeners/{front.listener['id']}", "listener", default_pool_id=None)
    assert changed["default_pool_id"] is None
    assert api.show(f"pools/{front.pool['id']}", "pool")["listeners"] == []


TAKEN = [
    ("HTTP beside TCP on one port", "TCP", "HTTP"),
    ("TCP beside HTTP on one port", "HTTP", "TCP"),
    ("the same twice", "HTTP", "HTTP"),
]


@pytest.mark.covers("CreateListener", "DeleteListener")
@pytest.mark.parametrize("why, first, second", TAKEN, ids=[row[0] for row in TAKEN])
def test_a_port_is_taken_once_for_each_load_balancer(elb, stage, why, first, second):
    lb, other = stage.load_balancer(), stage.load_balancer()
    holder = elb.create("Listener", loadbalancer_id=lb["id"], protocol=first, protocol_port=81)
    error = refused_with(409, "ELB.8907", elb.create, "Listener", loadbalancer_id=lb["id"], protocol=second, protocol_port=81)
    assert holder.id in error.error_msg, "it says who holds the port"
    elb.create("Listener", loadbalancer_id=other["id"], protocol=second, protocol_port=81)
    elb.delete("Listener", holder.id)
    elb.create("Listener", loadbalancer_id=lb["id"], protocol=second, protocol_port=81)


@pytest.mark.parametrize("protocol", ["IP"])
def test_protocols_that_are_not_there_yet_are_refused_clearly(elb, stage, protocol):
    error = refused_with(400, "ELB.8902", elb.create, "Listener", loadbalancer_id=stage.load_balancer()["id"], protocol=protocol, protocol_port=443)
    assert protocol in error.error_msg and "protocol" in error.error_msg


@pytest.mark.covers("CreateListener")
def test_a_udp_listener_has_its_defaults_and_shares_a_port_with_tcp(elb, stage):
    lb = stage.load_balancer()
    made = elb.create("Listener", loadbalancer_id=lb["id"], protocol="UDP", protocol_port=53)
    assert (made.protocol, made.keepalive_timeout, made.client_timeout, made.member_timeout) == ("UDP", 300, None, None)
    refused_with(409, "ELB.8907", elb.create, "Listener", loadbalancer_id=lb["id"], protocol="UDP", protocol_port=53)
    elb.create("Listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=53)
    assert elb.update("Listener", made.id, keepalive_timeout=10).keepalive_timeout == 10
    for field, value in (("keepalive_timeout", 9), ("keepalive_timeout", 4001), ("client_timeout", 5), ("gzip_enable", True)):
        error = refused_with(400, "ELB.8902", elb.update, "Listener", made.id, **{field: value})
        assert field in error.error_msg


@pytest.mark.covers("CreateListener", "UpdateListener")
def test_a_quic_listener_and_the_https_listener_that_tells_of_it(elb, stage):
    lb = stage.load_balancer()
    rsa, ecdsa = stage.certificate(kind="RSA")["id"], stage.certificate()["id"]
    common = {"loadbalancer_id": lb["id"], "protocol_port": 443}
    assert "RSA" in refused_with(400, "ELB.8902", elb.create, "Listener", protocol="QUIC", default_tls_container_ref=ecdsa, **common).error_msg
    quic = elb.create("Listener", protocol="QUIC", default_tls_container_ref=rsa, **common)
    assert (quic.protocol, quic.http2_enable, quic.client_timeout) == ("QUIC", True, 60)
    refused_with(409, "ELB.8907", elb.create, "Listener", protocol="UDP", **common)
    told = {"quic_listener_id": quic.id, "enable_quic_upgrade": True}
    https = elb.create("Listener", protocol="HTTPS", default_tls_container_ref=rsa, quic_config=told, **common)
    assert (https.quic_config.quic_listener_id, https.quic_config.enable_quic_upgrade) == (quic.id, True)
    assert https.id in refused_with(409, "ELB.8907", elb.delete, "Listener", quic.id).error_msg
    assert not elb.update("Listener", https.id, quic_config={**told, "enable_quic_upgrade": False}).quic_config.enable_quic_upgrade
    refused_with(400, "ELB.8902", elb.update, "Listener", https.id, quic_config={"quic_listener_id": https.id})


@pytest.mark.covers("CreatePool", "CreateHealthMonitor")
def test_a_udp_pool_takes_what_fits_udp(elb, stage):
    lb = stage.load_balancer()
    made = elb.create("Pool", loadbalancer_id=lb["id"], protocol="UDP", lb_algorithm="LEAST_CONNECTIONS", session_persistence={"type": "SOURCE_IP"})
    assert (made.protocol, made.ip_version, made.session_persistence.persistence_timeout) == ("UDP", "dualstack", 1)
    monitor = elb.create("HealthMonitor", pool_id=made.id, type="UDP_CONNECT", delay=5, timeout=3, max_retries=3)
    assert monitor.type == "UDP_CONNECT"
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="UDP", protocol_port=53, default_pool_id=made.id)
    assert listener.default_pool_id == made.id
    http = elb.create("Pool", loadbalancer_id=lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    refused_with(400, "ELB.8902", elb.update, "Listener", listener.id, default_pool_id=http.id)


@pytest.mark.covers("CreateListener", "UpdateListener")
def test_a_tls_listener_has_tls_settings_and_no_http_ones(elb, stage):
    lb, certificate = stage.load_balancer(), stage.certificate()["id"]
    named = {"loadbalancer_id": lb["id"], "protocol": "TLS", "protocol_port": 443}
    refused_with(400, "ELB.8902", elb.create, "Listener", **named)
    for field, value in (("gzip_enable", True), ("client_timeout", 5), ("ssl_early_data_enable", True)):
        error = refused_with(400, "ELB.8902", elb.create, "Listener", **named, default_tls_container_ref=certificate, **{field: value})
        assert field in error.error_msg
    made = elb.create("Listener", **named, default_tls_container_ref=certificate, proxy_protocol_enable=True, tls_ciphers_policy="tls-1-2-fs-with-1-3")
    assert (made.protocol, made.keepalive_timeout, made.client_timeout, made.proxy_protocol_enable) == ("TLS", 300, None, True)
    changed = elb.update("Listener", made.id, proxy_protocol_enable=False, tls_ciphers_policy="tls-1-2-strict")
    assert (changed.proxy_protocol_enable, changed.tls_ciphers_policy, changed.default_tls_container_ref) == (False, "tls-1-2-strict", certificate)


def test_a_listener_needs_a_load_balancer_that_is_there(fulcrum, elb, stage):
    error = refused_with(404, "ELB.8904", elb.create, "Listener", loadbalancer_id="00000000-0000-4000-8000-000000000000", protocol="HTTP", protocol_port=80)
    assert "00000000-0000-4000-8000-000000000000" in error.error_msg


@pytest.mark.parametrize("listener, pool", [("HTTP", "TCP"), ("TCP", "HTTP"), ("TLS", "HTTP")])
def test_protocols_of_listener_and_pool_must_pair(elb, stage, listener, pool):
    lb = stage.load_balancer()
    made = elb.create("Pool", loadbalancer_id=lb["id"], protocol=pool, lb_algorithm="ROUND_ROBIN")
    fields = {"loadbalancer_id": lb["id"], "protocol": listener, "protocol_port": 80}
    if listener == "TLS":
        fields["default_tls_container_ref"] = stage.certificate()["id"]
    refused_with(400, "ELB.8902", elb.create, "Listener", **fields, default_pool_id=made.id)
    free = elb.create("Listener", **fields)
    refused_with(400, "ELB.8902", elb.update, "Listener", free.id, default_pool_id=made.id)
    refused_with(400, "ELB.8902", elb.create, "Pool", listener_id=free.id, protocol=pool, lb_algorithm="ROUND_ROBIN")


TCP_ONLY_ERRORS = [("client_timeout", 60), ("member_timeout", 60)]


@pytest.mark.parametrize("field, value", TCP_ONLY_ERRORS)
def test_http_timeouts_are_an_error_on_tcp(elb, stage, field, value):
    error = refused_with(400, "ELB.8902", elb.create, "Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="TCP",
                         protocol_port=80, **{field: value})
    assert field in error.error_msg


RANGES = [("HTTP", 0, True), ("HTTP", 4000, True), ("HTTP", 4001, False), ("TCP", 10, True), ("TCP", 4000, True), ("TCP", 9, False), ("TCP", 0, False)]


@pytest.mark.parametrize("protocol, seconds, good", RANGES)
def test_idle_timeout_ranges(api, stage, protocol, seconds, good):
    body = {"listener": {"loadbalancer_id": stage.load_balancer()["id"], "protocol": protocol, "protocol_port": 80, "keepalive_timeout": seconds}}
    reply = api.elb("POST", "listeners", body)
    assert reply.status == (201 if good else 400), reply.text
    assert good or "keepalive_timeout" in reply.message


def test_transparent_client_ip_is_always_on_for_dedicated(api, stage):
    body = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": "TCP", "protocol_port": 80, "transparent_client_ip_enable": False}
    reply = api.elb("POST", "listeners", {"listener": body})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "transparent_client_ip_enable" in reply.message


def test_only_admin_state_up_true_is_accepted(api, stage):
    front = stage.front()
    reply = api.elb("PUT", f"listeners/{front.listener['id']}", {"listener": {"admin_state_up": False}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "admin_state_up" in reply.message


@pytest.mark.covers("DeleteListener")
def test_a_listener_whose_pool_has_members_is_in_use(elb, api, member, stage):
    server = member()
    front = stage.front([server])
    refused_with(409, "ELB.8907", elb.delete, "Listener", front.listener["id"])
    front.remove(server)
    elb.delete("Listener", front.listener["id"])
    kept = api.show(f"pools/{front.pool['id']}", "pool")
    assert kept["listeners"] == [], "a default pool without members is unbound, not deleted"


@pytest.mark.covers("DeleteListenerForce")
def test_force_unbinds_pools_and_keeps_their_members(elb, api, member, stage):
    front = stage.front([member()])
    elb.call("DeleteListenerForce", listener_id=front.listener["id"])
    assert api.elb("GET", f"listeners/{front.listener['id']}").status == 404
    kept = api.show(f"pools/{front.pool['id']}", "pool")
    assert (kept["listeners"], len(kept["members"])) == ([], 1)


def test_force_respects_member_protection(api, member, stage):
    front = stage.front([member()], pool={"member_deletion_protection_enable": True})
    reply = api.elb("DELETE", f"listeners/{front.listener['id']}/force")
    assert 400 <= reply.status < 500 and reply.status != 404
    assert api.elb("GET", f"listeners/{front.listener['id']}").status == 200


@pytest.mark.covers("ListListeners")
def test_the_list_shows_listeners_as_show_does(elb, stage):
    front = stage.front()
    found = elb.list("ListListeners", loadbalancer_id=[front.load_balancer["id"]])
    assert [item.to_dict() for item in found.listeners] == [elb.show("Listener", front.listener["id"]).to_dict()]
    assert found.page_info.current_count == 1


def test_insert_headers_go_through_the_vendors_class(elb, stage):
    wanted = v3.ListenerInsertHeaders(x_forwarded_port=True, x_real_ip=False)
    made = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTP", protocol_port=80, insert_headers=wanted)
    assert (made.insert_headers.x_forwarded_port, made.insert_headers.x_real_ip) == (True, False)
