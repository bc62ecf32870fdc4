"""TLS security policies through the vendor's client: the system's, and those of projects."""

import pytest

from harness.sdk import refused_with

SUITES = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]

SYSTEM = {
    "tls-1-0-inherit": "TLSv1.2 TLSv1.1 TLSv1", "tls-1-0": "TLSv1.2 TLSv1.1 TLSv1", "tls-1-1": "TLSv1.2 TLSv1.1", "tls-1-2": "TLSv1.2",
    "tls-1-2-strict": "TLSv1.2", "tls-1-2-fs": "TLSv1.2", "tls-1-0-with-1-3": "TLSv1.3 TLSv1.2 TLSv1.1 TLSv1",
    "tls-1-2-fs-with-1-3": "TLSv1.3 TLSv1.2", "hybrid-policy-1-0": "TLSv1.2 TLSv1.1", "tls-1-2-strict-no-cbc": "TLSv1.2",
}


@pytest.mark.covers("ListSystemSecurityPolicies")
def test_the_systems_policies_are_texts(elb, stage):
    found = {policy.name: policy for policy in elb.call("ListSystemSecurityPolicies").system_security_policies}
    assert {name: policy.protocols for name, policy in found.items()} == SYSTEM
    assert found["tls-1-2-strict-no-cbc"].ciphers == ("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
                                                      "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256")
    assert len(found["tls-1-2"].ciphers.split(":")) == 18
    assert len(found["tls-1-0-inherit"].ciphers.split(":")) == 33
    assert {policy.project_id for policy in found.values()} == {stage.api.project_id}


@pytest.mark.covers("CreateSecurityPolicy", "ShowSecurityPolicy", "UpdateSecurityPolicy", "ListSecurityPolicies")
def test_a_policy_lives(elb, stage):
    made = elb.create("SecurityPolicy", name="strict", description="kept", protocols=["TLSv1.2"], ciphers=SUITES)
    stage.remember_beside("security-policies", made.id)
    assert (made.protocols, made.ciphers, made.listeners) == (["TLSv1.2"], SUITES, []), "in the order given"
    assert elb.show("SecurityPolicy", made.id).to_dict() == made.to_dict()
    changed = elb.update("SecurityPolicy", made.id, protocols=["TLSv1.2", "TLSv1.3"], ciphers=[*SUITES, "TLS_AES_128_GCM_SHA256"])
    assert (changed.name, changed.description, changed.protocols) == ("strict", "kept", ["TLSv1.2", "TLSv1.3"])
    for query, hit in (({"ciphers": ["TLS_AES_128_GCM_SHA256"]}, True), ({"ciphers": ["AES128-SHA"]}, False), ({"protocols": ["TLSv1.3"]}, True),
                       ({"protocols": ["TLSv1"]}, False), ({"name": ["strict"]}, True)):
        found = elb.list("ListSecurityPolicies", id=[made.id], **query).security_policies
        assert [item.id for item in found] == ([made.id] if hit else []), query


BAD = [
    ("no version", {"protocols": [], "ciphers": SUITES}, "protocols"),
    ("no suite", {"protocols": ["TLSv1.2"], "ciphers": []}, "ciphers"),
    ("a version without a suite", {"protocols": ["TLSv1.2", "TLSv1.3"], "ciphers": SUITES}, "protocols"),
    ("a suite without a version", {"protocols": ["TLSv1.2"], "ciphers": [*SUITES, "TLS_AES_128_GCM_SHA256"]}, "ciphers"),
    ("a suite that nobody should use", {"protocols": ["TLSv1.2"], "ciphers": ["RC4-SHA"]}, "ciphers"),
    ("no such version", {"protocols": ["SSLv3"], "ciphers": SUITES}, "protocols"),
]


@pytest.mark.parametrize("why, fields, named", BAD, ids=[row[0] for row in BAD])
def test_versions_and_suites_must_fit(api, why, fields, named):
    reply = api.elb("POST", "security-policies", {"security_policy": fields})
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
    assert "protocols" in reply.message or "ciphers" in reply.message or named in reply.message


@pytest.mark.covers("DeleteSecurityPolicy")
def test_a_policy_in_use_stays_and_null_sets_it_free(elb, stage):
    policy = stage.beside("security-policies", "security_policy", protocols=["TLSv1.2"], ciphers=SUITES)
    listener = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTPS", protocol_port=443,
                          default_tls_container_ref=stage.certificate()["id"], security_policy_id=policy["id"])
    assert (listener.security_policy_id, listener.tls_ciphers_policy) == (policy["id"], "tls-1-2")
    assert [ref.id for ref in elb.show("SecurityPolicy", policy["id"]).listeners] == [listener.id]
    error = refused_with(409, "ELB.8907", elb.delete, "SecurityPolicy", policy["id"])
    assert listener.id in error.error_msg
    assert stage.api.update(f"listeners/{listener.id}", "listener", security_policy_id=None)["security_policy_id"] is None
    elb.delete("SecurityPolicy", policy["id"])
    refused_with(404, "ELB.8904", elb.show, "SecurityPolicy", policy["id"])
