"""HTTPS listeners through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness import pki
from harness.ports import listener_port
from harness.sdk import refused_with


@pytest.mark.covers("CreateListener")
@pytest.mark.parametrize("protocol", ["HTTPS", "TERMINATED_HTTPS"])
def test_a_new_https_listener_has_the_documented_defaults(elb, stage, protocol):
    certificate = stage.certificate()
    made = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol=protocol, protocol_port=listener_port(),
                      default_tls_container_ref=certificate["id"])
    expected = {"protocol": "HTTPS", "default_tls_container_ref": certificate["id"], "client_ca_tls_container_ref": None, "sni_container_refs": [],
                "sni_match_algo": "wildcard", "tls_ciphers_policy": "tls-1-2", "security_policy_id": None, "ssl_early_data_enable": False,
                "http2_enable": False, "keepalive_timeout": 60, "client_timeout": 60, "member_timeout": 60, "enable_member_retry": True}
    assert {key: getattr(made, key) for key in expected} == expected
    assert elb.show("Listener", made.id).to_dict() == made.to_dict()


@pytest.mark.covers("CreateListener", "UpdateListener")
def test_every_field_about_tls_is_kept_and_changed(elb, stage):
    default, sni, other = stage.certificate(), stage.certificate("a.example.com", domain="a.example.com"), stage.certificate("b.example.com", domain="*.example.com")
    ca = stage.beside("certificates", "certificate", type="client", certificate=pki.authority().pem)
    headers = v3.ListenerInsertHeaders(x_forwarded_tls_protocol=True, x_forwarded_tls_protocol_alias="x-tls", x_forwarded_tls_sni_enable=True,
                                       x_forwarded_clientcert_enable=True, x_forwarded_clientcert_alias="x-cert", x_forwarded_tls_ja4_enable=True)
    made = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTPS", protocol_port=443, default_tls_container_ref=default["id"],
                      sni_container_refs=[sni["id"]], sni_match_algo="longest_suffix", client_ca_tls_container_ref=ca["id"],
                      tls_ciphers_policy="tls-1-2-fs-with-1-3", ssl_early_data_enable=True, http2_enable=True, insert_headers=headers)
    assert (made.sni_container_refs, made.sni_match_algo, made.client_ca_tls_container_ref) == ([sni["id"]], "longest_suffix", ca["id"])
    assert (made.tls_ciphers_policy, made.ssl_early_data_enable, made.http2_enable) == ("tls-1-2-fs-with-1-3", True, True)
    shown = made.insert_headers
    assert (shown.x_forwarded_tls_protocol, shown.x_forwarded_tls_protocol_alias, shown.x_forwarded_tls_sni_enable) == (True, "x-tls", True)
    assert (shown.x_forwarded_clientcert_enable, shown.x_forwarded_clientcert_alias, shown.x_forwarded_tls_ja3_enable) == (True, "x-cert", False)
    changed = elb.update("Listener", made.id, default_tls_container_ref=sni["id"], sni_container_refs=[other["id"]], sni_match_algo="wildcard",
                         tls_ciphers_policy="tls-1-0-with-1-3", http2_enable=False, ssl_early_data_enable=False)
    assert (changed.default_tls_container_ref, changed.sni_container_refs, changed.sni_match_algo) == (sni["id"], [other["id"]], "wildcard")
    assert (changed.tls_ciphers_policy, changed.http2_enable, changed.ssl_early_data_enable) == ("tls-1-0-with-1-3", False, False)
    assert changed.client_ca_tls_container_ref == ca["id"], "what is not named stays"
    api = stage.api
    assert api.update(f"listeners/{made.id}", "listener", client_ca_tls_container_ref=None)["client_ca_tls_container_ref"] is None
    assert api.update(f"listeners/{made.id}", "listener", sni_container_refs=[])["sni_container_refs"] == []
    for certificate, used in ((sni, [made.id]), (other, []), (default, [])):
        found = elb.list("ListListeners", default_tls_container_ref=[certificate["id"]]).listeners
        assert [item.id for item in found] == used


BAD = [
    ("no certificate", {}, 400, "default_tls_container_ref"),
    ("no such certificate", {"default_tls_container_ref": "0" * 31 + "7"}, 404, "0" * 8),
    ("an authority in the server's place", {"default_tls_container_ref": "CA"}, 400, "default_tls_container_ref"),
    ("a server's in the authority's place", {"default_tls_container_ref": "SITE", "client_ca_tls_container_ref": "SITE"}, 400, "client_ca_tls_container_ref"),
    ("an SNI certificate without names", {"default_tls_container_ref": "SITE", "sni_container_refs": ["SITE"]}, 400, "sni_container_refs"),
    ("one name twice", {"default_tls_container_ref": "SITE", "sni_container_refs": ["NAMED", "TWIN"]}, 400, "sni_container_refs"),
    ("no such policy of the system", {"default_tls_container_ref": "SITE", "tls_ciphers_policy": "tls-9"}, 400, "tls_ciphers_policy"),
    ("no such policy of the project", {"default_tls_container_ref": "SITE", "security_policy_id": "00000000-0000-4000-8000-000000000000"}, 404, "security"),
    ("an alias that is no name", {"default_tls_container_ref": "SITE", "insert_headers": {"X-Forwarded-Tls-Sni-alias": "x sni"}}, 400, "X-Forwarded-Tls-Sni-alias"),
]


@pytest.mark.parametrize("why, fields, status, named", BAD, ids=[row[0] for row in BAD])
def test_settings_that_do_not_fit_are_named(api, stage, why, fields, status, named):
    ids = {"SITE": stage.certificate()["id"], "NAMED": stage.certificate("a.example.com", domain="a.example.com")["id"],
           "TWIN": stage.certificate("c.example.com", domain="A.example.com")["id"],
           "CA": stage.beside("certificates", "certificate", type="client", certificate=pki.authority().pem)["id"]}
    fields = {key: [ids.get(one, one) for one in value] if isinstance(value, list) else ids.get(value, value) if isinstance(value, str) else value
              for key, value in fields.items()}
    body = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": "HTTPS", "protocol_port": 443, **fields}
    reply = api.elb("POST", "listeners", {"listener": body})
    assert reply.status == status, reply.text
    assert named in reply.message


def test_one_name_for_both_kinds_of_key(elb, stage):
    both = [stage.certificate("a.example.com", kind=kind, domain="a.example.com")["id"] for kind in ("RSA", "ECDSA")]
    made = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTPS", protocol_port=443,
                      default_tls_container_ref=both[0], sni_container_refs=both)
    assert made.sni_container_refs == both


ONLY_HTTPS = [("default_tls_container_ref", "CERTIFICATE"), ("client_ca_tls_container_ref", "CERTIFICATE"), ("sni_container_refs", ["CERTIFICATE"]),
              ("tls_ciphers_policy", "tls-1-0"), ("ssl_early_data_enable", True), ("insert_headers", {"X-Forwarded-Tls-Sni-enable": True})]


@pytest.mark.parametrize("field, value", ONLY_HTTPS, ids=[row[0] for row in ONLY_HTTPS])
def test_http_listeners_have_no_tls(api, stage, field, value):
    body = {"loadbalancer_id": stage.load_balancer()["id"], "protocol": "HTTP", "protocol_port": 80, field: value}
    reply = api.elb("POST", "listeners", {"listener": body})
    assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message, reply.text


@pytest.mark.parametrize("pool, good", [("HTTP", True), ("HTTPS", True), ("TCP", False)])
def test_pools_of_https_listeners(elb, stage, pool, good):
    lb = stage.load_balancer()
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="HTTPS", protocol_port=443, default_tls_container_ref=stage.certificate()["id"])
    fields = {"listener_id": listener.id, "protocol": pool, "lb_algorithm": "ROUND_ROBIN"}
    if good:
        assert elb.create("Pool", **fields).protocol == pool
    else:
        refused_with(400, "ELB.8902", elb.create, "Pool", **fields)


def test_a_grpc_pool_needs_http2(elb, stage):
    lb = stage.load_balancer()
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="HTTPS", protocol_port=443, default_tls_container_ref=stage.certificate()["id"])
    pool = {"listener_id": listener.id, "protocol": "GRPC", "lb_algorithm": "ROUND_ROBIN"}
    error = refused_with(400, "ELB.8902", elb.create, "Pool", **pool)
    assert "http2_enable" in error.error_msg
    elb.update("Listener", listener.id, http2_enable=True)
    made = elb.create("Pool", session_persistence=v3.CreatePoolSessionPersistenceOption(type="HTTP_COOKIE"), **pool)
    assert (made.protocol, made.session_persistence.type) == ("GRPC", "HTTP_COOKIE")
    refused_with(400, "ELB.8902", elb.update, "Listener", listener.id, http2_enable=False)


def test_how_strict_a_listener_is_can_be_set(api, stage):
    lb = stage.load_balancer()["id"]
    made = api.create("listeners", "listener", loadbalancer_id=lb, protocol="HTTP", protocol_port=80)
    assert made["desync_mode"] == "defensive"
    for mode in ("monitor", "strictest"):
        assert api.update(f"listeners/{made['id']}", "listener", desync_mode=mode)["desync_mode"] == mode
    reply = api.elb("PUT", f"listeners/{made['id']}", {"listener": {"desync_mode": "off"}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "desync_mode" in reply.message
    assert api.create("listeners", "listener", loadbalancer_id=lb, protocol="TCP", protocol_port=81)["desync_mode"] is None
