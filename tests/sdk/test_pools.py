"""Pools through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness import pki
from harness.sdk import refused_with


@pytest.mark.covers("CreatePool", "ShowPool")
def test_a_new_pool_has_the_documented_defaults(elb, stage):
    lb = stage.load_balancer()
    made = elb.create("Pool", loadbalancer_id=lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    shown = elb.show("Pool", made.id)
    assert shown.to_dict() == made.to_dict()
    expected = {"name": "", "description": "", "admin_state_up": True, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "healthmonitor_id": None,
                "listeners": [], "members": [], "session_persistence": None, "slow_start": None, "ip_version": "v4", "type": "",
                "member_deletion_protection_enable": False, "protection_status": "nonProtection", "any_port_enable": False,
                "enterprise_project_id": "0", "project_id": stage.api.project_id}
    assert {key: getattr(shown, key) for key in expected} == expected
    assert [ref.id for ref in shown.loadbalancers] == [lb["id"]]
    assert shown.pool_health.minimum_healthy_member_count == 0
    assert [ref.id for ref in elb.show("LoadBalancer", lb["id"]).pools] == [made.id]


@pytest.mark.covers("CreatePool")
def test_a_tcp_pool_takes_both_address_families(elb, stage):
    assert elb.create("Pool", loadbalancer_id=stage.load_balancer()["id"], protocol="TCP", lb_algorithm="SOURCE_IP").ip_version == "dualstack"


@pytest.mark.covers("CreatePool", "UpdatePool", "ListPools")
def test_a_quic_pool_places_by_connection_id(elb, stage):
    lb = stage.load_balancer()
    sticky = {"type": "SOURCE_IP"}
    wanted = {"loadbalancer_id": lb["id"], "protocol": "QUIC", "lb_algorithm": "QUIC_CID"}
    refused_with(400, "ELB.8902", elb.create, "Pool", **wanted)
    made = elb.create("Pool", **wanted, session_persistence=sticky)
    strategy = made.quic_cid_hash_strategy
    assert (made.ip_version, strategy.len, strategy.offset) == ("dualstack", 3, 1)
    strategy = elb.update("Pool", made.id, quic_cid_hash_strategy={"len": 8, "offset": 0}).quic_cid_hash_strategy
    assert (strategy.len, strategy.offset) == (8, 0)
    assert [pool.id for pool in elb.list("ListPools", loadbalancer_id=[lb["id"]], quic_cid_len=8).pools] == [made.id]
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="UDP", protocol_port=443, default_pool_id=made.id)
    assert listener.default_pool_id == made.id
    assert elb.create("HealthMonitor", pool_id=made.id, type="UDP_CONNECT", delay=5, timeout=3, max_retries=3).type == "UDP_CONNECT"
    refused_with(400, "ELB.8902", elb.create, "Pool", **{**wanted, "protocol": "UDP"}, session_persistence=sticky)


@pytest.mark.covers("CreatePool", "CreateListener", "CreateHealthMonitor", "ListPools")
def test_a_tls_pool_is_for_tls_listeners(elb, stage):
    lb, certificate = stage.load_balancer(), stage.certificate()["id"]
    wanted = {"loadbalancer_id": lb["id"], "protocol": "TLS", "lb_algorithm": "LEAST_CONNECTIONS"}
    refused_with(400, "ELB.8902", elb.create, "Pool", **wanted, any_port_enable=True)
    made = elb.create("Pool", **wanted, session_persistence={"type": "SOURCE_IP", "persistence_timeout": 5})
    assert (made.protocol, made.ip_version, made.session_persistence.persistence_timeout) == ("TLS", "dualstack", 5)
    assert [pool.id for pool in elb.list("ListPools", loadbalancer_id=[lb["id"]], protocol=["TLS"]).pools] == [made.id]
    listener = {"loadbalancer_id": lb["id"], "default_pool_id": made.id}
    for protocol in ("TCP", "UDP", "HTTP", "HTTPS"):
        fields = {"default_tls_container_ref": certificate} if protocol == "HTTPS" else {}
        refused_with(400, "ELB.8902", elb.create, "Listener", **listener, protocol=protocol, protocol_port=443, **fields)
    served = elb.create("Listener", **listener, protocol="TLS", protocol_port=443, default_tls_container_ref=certificate)
    assert served.default_pool_id == made.id
    monitor = elb.create("HealthMonitor", pool_id=made.id, type="TLS", delay=5, timeout=3, max_retries=3)
    assert (monitor.type, elb.show("Pool", made.id).healthmonitor_id) == ("TLS", monitor.id)
    verified = stage.api.update(f"pools/{made.id}", "pool", member_tls={"ca_certificate_id": stage.beside(
        "certificates", "certificate", type="client", certificate=pki.authority().pem)["id"]})
    assert verified["member_tls"]["server_name"] is None


@pytest.mark.covers("CreatePool")
def test_listener_id_makes_it_the_default_pool_once(elb, stage):
    lb = stage.load_balancer()
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    pool = elb.create("Pool", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    assert [ref.id for ref in pool.listeners] == [listener.id] and [ref.id for ref in pool.loadbalancers] == [lb["id"]]
    assert elb.show("Listener", listener.id).default_pool_id == pool.id
    refused = stage.api.elb("POST", "pools", {"pool": {"listener_id": listener.id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}})
    assert refused.status in (400, 409), "the listener has a default pool"


BELONGING = [
    ("nothing to belong to", {}, False),
    ("instance needs vpc_id", {"type": "instance"}, False),
    ("instance with vpc_id", {"type": "instance", "vpc_id": "VPC"}, True),
    ("ip forbids vpc_id", {"type": "ip", "vpc_id": "VPC"}, False),
    ("ip alone", {"type": "ip"}, True),
    ("no such type", {"type": "other"}, False),
]


@pytest.mark.covers("CreatePool", "DeletePool")
@pytest.mark.parametrize("why, fields, good", BELONGING, ids=[row[0] for row in BELONGING])
def test_a_pool_belongs_somewhere(api, stage, why, fields, good):
    fields = {key: stage.vpc if value == "VPC" else value for key, value in fields.items()}
    reply = api.elb("POST", "pools", {"pool": {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **fields}})
    assert reply.status == (201 if good else 400), reply.text
    if good:
        api.delete(f"pools/{reply.json['pool']['id']}")
    else:
        assert reply.code == "ELB.8902"


STICKY = [
    ("cookie for HTTP", "HTTP", {"type": "HTTP_COOKIE"}, {"type": "HTTP_COOKIE", "persistence_timeout": 1440}),
    ("cookie with its own time", "HTTP", {"type": "HTTP_COOKIE", "persistence_timeout": 1}, {"type": "HTTP_COOKIE", "persistence_timeout": 1}),
    ("application cookie", "HTTP", {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}, {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}),
    ("application cookie without its name", "HTTP", {"type": "APP_COOKIE"}, None),
    ("a name for another type", "HTTP", {"type": "HTTP_COOKIE", "cookie_name": "x"}, None),
    ("source address is not for HTTP", "HTTP", {"type": "SOURCE_IP"}, None),
    ("too long for HTTP", "HTTP", {"type": "HTTP_COOKIE", "persistence_timeout": 1441}, None),
    ("source address for TCP", "TCP", {"type": "SOURCE_IP"}, {"type": "SOURCE_IP", "persistence_timeout": 1}),
    ("an hour for TCP", "TCP", {"type": "SOURCE_IP", "persistence_timeout": 60}, {"type": "SOURCE_IP", "persistence_timeout": 60}),
    ("too long for TCP", "TCP", {"type": "SOURCE_IP", "persistence_timeout": 61}, None),
]


@pytest.mark.parametrize("why, protocol, asked, kept", STICKY, ids=[row[0] for row in STICKY])
def test_stickiness(api, stage, why, protocol, asked, kept):
    body = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "session_persistence": asked}
    reply = api.elb("POST", "pools", {"pool": body})
    if kept is None:
        assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
        return
    assert reply.status == 201, reply.text
    shown = reply.json["pool"]["session_persistence"]
    assert {key: shown.get(key) for key in kept} == kept
    cleared = api.update(f"pools/{reply.json['pool']['id']}", "pool", session_persistence=None)
    assert cleared["session_persistence"] is None


def test_slow_start_is_for_http_only_and_can_be_cleared(api, stage):
    lb = stage.load_balancer()["id"]
    made = api.create("pools", "pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN", slow_start={"enable": True, "duration": 30})
    assert made["slow_start"] == {"enable": True, "duration": 30}
    assert api.update(f"pools/{made['id']}", "pool", slow_start=None)["slow_start"] is None
    for why, fields in (("TCP", {"protocol": "TCP", "slow_start": {"enable": True, "duration": 30}}),
                        ("too short", {"protocol": "HTTP", "slow_start": {"enable": True, "duration": 29}}),
                        ("too long", {"protocol": "HTTP", "slow_start": {"enable": True, "duration": 1201}})):
        reply = api.elb("POST", "pools", {"pool": {"loadbalancer_id": lb, "lb_algorithm": "ROUND_ROBIN", **fields}})
        assert (reply.status, reply.code) == (400, "ELB.8902"), why


@pytest.mark.covers("UpdatePool")
def test_an_update_changes_what_it_names_and_nothing_else(elb, stage):
    front = stage.front(pool={"description": "kept"})
    changed = elb.update("Pool", front.pool["id"], name="after", lb_algorithm="LEAST_CONNECTIONS",
                         pool_health=v3.PoolHealth(minimum_healthy_member_count=1))
    assert (changed.name, changed.lb_algorithm, changed.description) == ("after", "LEAST_CONNECTIONS", "kept")
    assert changed.pool_health.minimum_healthy_member_count == 1
    assert [ref.id for ref in changed.listeners] == [front.listener["id"]]


@pytest.mark.covers("DeletePool", "DeletePoolCascade")
def test_a_pool_with_members_or_monitor_is_in_use_and_cascade_takes_them(elb, api, member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "TCP"})
    refused_with(409, "ELB.8907", elb.delete, "Pool", front.pool["id"])
    front.remove(server)
    refused_with(409, "ELB.8907", elb.delete, "Pool", front.pool["id"])
    front.add(server)
    elb.call("DeletePoolCascade", pool_id=front.pool["id"])
    assert api.elb("GET", f"pools/{front.pool['id']}").status == 404
    assert api.elb("GET", f"healthmonitors/{front.monitor['id']}").status == 404
    assert api.show(f"listeners/{front.listener['id']}", "listener")["default_pool_id"] is None
    assert front.get().status == 404, "traffic sees it, too"


@pytest.mark.covers("DeletePoolCascade", "DeleteMember", "BatchDeleteMembers")
def test_member_protection_blocks_each_removal(api, member, stage):
    front = stage.front([member("kept")], pool={"member_deletion_protection_enable": True})
    pool = f"pools/{front.pool['id']}"
    id = front.members["kept"]
    for method, path, body in (("DELETE", f"{pool}/members/{id}", {}), ("POST", f"{pool}/members/batch-delete", {"members": [{"id": id}]}),
                               ("DELETE", f"{pool}/delete-cascade", {})):
        reply = api.elb(method, path, body)
        assert 400 <= reply.status < 500 and reply.status != 404, (path, reply.text)
    assert front.get().body == b"kept"


@pytest.mark.covers("BatchDeletePools")
def test_a_batch_tells_for_each_pool_what_became_of_it(elb, stage):
    lb = stage.load_balancer()
    pool = elb.create("Pool", loadbalancer_id=lb["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN")
    unknown = "00000000-0000-4000-8000-000000000000"
    answer = elb.call("BatchDeletePools", body=v3.BatchDeletePoolsRequestBody(pools=[pool.id, unknown]))
    assert {item.id: item.ret_status for item in answer.pools} == {pool.id: "successful", unknown: "not found"}


@pytest.mark.covers("ListPools")
def test_the_list_shows_pools_as_show_does(elb, member, stage):
    front = stage.front([member()])
    found = elb.list("ListPools", id=[front.pool["id"]])
    assert [item.to_dict() for item in found.pools] == [elb.show("Pool", front.pool["id"]).to_dict()]


@pytest.mark.parametrize("field, value", [("lb_algorithm", "QUIC_CID"), ("lb_algorithm", "5_TUPLE_HASH"), ("lb_algorithm", "RANDOM"), ("protocol", "SCTP")])
def test_values_that_do_not_fit_are_named(api, stage, field, value):
    body = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", field: value}
    reply = api.elb("POST", "pools", {"pool": body})
    assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message


ID = "0123abcd-0123-4567-89ab-0123456789ab"
VERIFIED = [
    ("in clear", "HTTP", {"ca_certificate_id": "CA"}, 400, "member_tls"),
    ("bytes", "TCP", {"ca_certificate_id": "CA"}, 400, "member_tls"),
    ("no authority", "HTTPS", {"server_name": "a.example.com"}, 400, "member_tls.ca_certificate_id"),
    ("a server's certificate", "HTTPS", {"ca_certificate_id": "SITE"}, 400, "member_tls"),
    ("one that is not there", "HTTPS", {"ca_certificate_id": ID}, 404, ID),
    ("an address", "HTTPS", {"ca_certificate_id": "CA", "server_name": "127.0.0.1"}, 400, "member_tls.server_name"),
    ("a wildcard", "HTTPS", {"ca_certificate_id": "CA", "server_name": "*.example.com"}, 400, "member_tls.server_name"),
]


@pytest.mark.parametrize("why, protocol, member_tls, status, named", VERIFIED, ids=[row[0] for row in VERIFIED])
def test_how_members_are_verified_must_fit(api, stage, why, protocol, member_tls, status, named):
    ids = {"CA": stage.beside("certificates", "certificate", type="client", certificate=pki.authority().pem)["id"], "SITE": stage.certificate()["id"]}
    member_tls = {key: ids.get(value, value) for key, value in member_tls.items()}
    lb = stage.load_balancer()["id"]
    pool = {"loadbalancer_id": lb, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}
    reply = api.elb("POST", "pools", {"pool": {**pool, "member_tls": member_tls}})
    assert reply.status == status and named in reply.message, reply.text
    made = api.create("pools", "pool", **pool)
    assert made["member_tls"] is None
    reply = api.elb("PUT", f"pools/{made['id']}", {"pool": {"member_tls": member_tls}})
    assert reply.status == status and named in reply.message, reply.text


def test_how_members_are_verified_is_kept_and_holds_its_authority(api, stage):
    ca = api.create("certificates", "certificate", type="client", certificate=pki.authority().pem)["id"]
    lb = stage.load_balancer()["id"]
    pool = api.create("pools", "pool", loadbalancer_id=lb, protocol="HTTPS", lb_algorithm="ROUND_ROBIN", member_tls={"ca_certificate_id": ca})
    path = f"pools/{pool['id']}"
    assert pool["member_tls"] == api.show(path, "pool")["member_tls"] == {"ca_certificate_id": ca, "server_name": None}
    for said, kept in (({"server_name": "API.example.com"}, "api.example.com"), ({}, "api.example.com"), ({"server_name": None}, None)):
        assert api.update(path, "pool", member_tls=said)["member_tls"] == {"ca_certificate_id": ca, "server_name": kept}
    assert api.update(path, "pool", name="other")["member_tls"]["ca_certificate_id"] == ca
    refused = api.elb("DELETE", f"certificates/{ca}")
    assert (refused.status, refused.code) == (409, "ELB.8907") and pool["id"] in refused.message
    assert api.update(path, "pool", member_tls=None)["member_tls"] is None
    api.delete(f"certificates/{ca}")


OUTLIERS = {"enable": True, "connect_failures": 5, "server_errors": 5, "ejection_time": 30, "ejection_time_max": 300, "ejected_percent_max": 10}


def test_outlier_detection_is_off_unless_asked_for_and_kept(api, stage):
    lb = stage.load_balancer()["id"]
    pool = api.create("pools", "pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    path = f"pools/{pool['id']}"
    assert pool["outlier_detection"] is None
    for said, kept in (({}, OUTLIERS), ({"server_errors": 0}, {**OUTLIERS, "server_errors": 0}), ({"enable": False}, {**OUTLIERS, "server_errors": 0, "enable": False})):
        assert api.update(path, "pool", outlier_detection=said)["outlier_detection"] == api.show(path, "pool")["outlier_detection"] == kept
    assert api.update(path, "pool", name="other")["outlier_detection"]["enable"] is False
    assert api.update(path, "pool", outlier_detection=None)["outlier_detection"] is None


@pytest.mark.parametrize("protocol, said, named", [
    ("TCP", {"connect_failures": 0}, "outlier_detection"),
    ("HTTP", {"connect_failures": 0, "server_errors": 0}, "outlier_detection"),
    ("HTTP", {"ejection_time": 301}, "outlier_detection"),
    ("HTTP", {"ejection_time": 0}, "outlier_detection.ejection_time"),
    ("HTTP", {"ejected_percent_max": 101}, "outlier_detection.ejected_percent_max"),
])
def test_outlier_detection_must_fit(api, stage, protocol, said, named):
    pool = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}
    reply = api.elb("POST", "pools", {"pool": {**pool, "outlier_detection": said}})
    assert reply.status == 400 and named in reply.message, reply.text
