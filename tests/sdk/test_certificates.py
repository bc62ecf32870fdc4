"""Certificates through the vendor's client."""

import re

import pytest
from huaweicloudsdkelb import v3

from harness import pki
from harness.sdk import refused_with

SITE = ("www.example.com", "*.example.com")


def made_by(elb, stage, **fields):
    """A certificate made through the client; it goes with the stage."""
    made = elb.create("Certificate", **fields)
    stage.remember_beside("certificates", made.id)
    return made


@pytest.mark.covers("CreateCertificate", "ShowCertificate")
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_a_server_certificate_tells_what_is_written_in_it(elb, stage, kind):
    pair = pki.pair(*SITE, kind=kind)
    made = made_by(elb, stage, name="site", certificate=pair.chain, private_key=pair.key, domain="www.example.com,*.example.com")
    shown = elb.show("Certificate", made.id)
    assert shown.to_dict() == made.to_dict()
    assert re.fullmatch("[0-9a-f]{32}", made.id), "ids of certificates have no dashes"
    assert (shown.certificate.strip(), shown.private_key.strip()) == (pair.chain.strip(), pair.key.strip()), "as it was given"
    assert (shown.type, shown.domain, shown.common_name) == ("server", "www.example.com,*.example.com", "www.example.com")
    assert shown.subject_alternative_names == list(SITE)
    assert re.fullmatch(r"([0-9a-fA-F]{2}:){19}[0-9a-fA-F]{2}", shown.fingerprint)
    assert shown.expire_time.endswith("Z") and shown.expire_time > "2026"
    assert (shown.admin_state_up, shown.protection_status, shown.enterprise_project_id, shown.source) == (True, "nonProtection", "0", "")
    assert shown.project_id == stage.api.project_id


@pytest.mark.covers("CreateCertificate")
def test_an_authority_needs_no_key(elb, stage):
    made = made_by(elb, stage, type="client", certificate=pki.authority().pem, private_key="ignored")
    assert (made.type, made.private_key, made.domain) == ("client", None, None)


def test_an_expired_certificate_is_taken_with_a_warning(elb, stage):
    pair = pki.authority().issue("old.example.com", expired=True)
    made = made_by(elb, stage, certificate=pair.chain, private_key=pair.key)
    assert made.expire_time < made.created_at
    shown = stage.api.show(f"certificates/{made.id}", "certificate")
    assert made.expire_time in shown["warnings"][0] and "expired" in shown["warnings"][0]
    assert stage.certificate()["warnings"] == []


def test_a_chain_may_be_longer_than_its_leaf(elb, stage):
    pair = pki.pair(*SITE)
    chain = pair.leaf + pki.authority().pem
    assert made_by(elb, stage, certificate=chain, private_key=pair.key).common_name == "www.example.com"


BAD = [
    ("another pair's key", lambda good, other: {"certificate": good.chain, "private_key": other.key}, "private_key"),
    ("no key", lambda good, other: {"certificate": good.chain}, "private_key"),
    ("an encrypted key", lambda good, other: {"certificate": good.chain, "private_key": good.key_under("secret")}, "private_key"),
    ("the key in the certificate's place", lambda good, other: {"certificate": good.key, "private_key": good.key}, "certificate"),
    ("no PEM", lambda good, other: {"certificate": "nonsense", "private_key": good.key}, "certificate"),
    ("a chain the wrong way round", lambda good, other: {"certificate": pki.authority().pem + good.leaf, "private_key": good.key}, "certificate"),
    ("a name with a star inside", lambda good, other: {"certificate": good.chain, "private_key": good.key, "domain": "a.*.com"}, "domain"),
    ("more than a hundred names", lambda good, other: {"certificate": good.chain, "private_key": good.key,
                                                       "domain": ",".join(f"h{n}.com" for n in range(101))}, "domain"),
    ("an authority with names", lambda good, other: {"type": "client", "certificate": pki.authority().pem, "domain": "a.com"}, "domain"),
    ("nothing", lambda good, other: {}, "certificate"),
    ("no such type", lambda good, other: {"type": "both", "certificate": good.chain, "private_key": good.key}, "type"),
]


@pytest.mark.parametrize("why, fields, named", BAD, ids=[row[0] for row in BAD])
def test_what_is_wrong_with_a_certificate_is_said(api, why, fields, named):
    reply = api.elb("POST", "certificates", {"certificate": fields(pki.pair(*SITE), pki.pair("other.example.com"))})
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
    assert named in reply.message


@pytest.mark.covers("UpdateCertificate")
def test_an_update_replaces_the_pair_in_place(elb, stage):
    made = stage.certificate(*SITE, name="before", description="kept")
    new = pki.pair("new.example.com")
    changed = elb.update("Certificate", made["id"], name="after", certificate=new.chain, private_key=new.key, domain="new.example.com")
    assert (changed.name, changed.description, changed.common_name, changed.domain) == ("after", "kept", "new.example.com", "new.example.com")
    assert changed.fingerprint != made["fingerprint"]
    refused_with(400, "ELB.8902", elb.update, "Certificate", made["id"], certificate=pki.pair(*SITE).chain)
    assert elb.show("Certificate", made["id"]).common_name == "new.example.com", "a refused update changes nothing"
    for field, value in (("type", "client"), ("enterprise_project_id", "0")):
        reply = stage.api.elb("PUT", f"certificates/{made['id']}", {"certificate": {field: value}})
        assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message


@pytest.mark.covers("DeleteCertificate", "BatchDeleteCertificates")
def test_a_certificate_in_use_stays(elb, stage):
    used, free = stage.certificate(*SITE), stage.certificate("free.example.com")
    lb = stage.load_balancer()
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="HTTPS", protocol_port=443, default_tls_container_ref=used["id"])
    error = refused_with(409, "ELB.8907", elb.delete, "Certificate", used["id"])
    assert listener.id in error.error_msg, "it says who uses it"
    unknown = "0" * 31 + "7"
    answer = elb.call("BatchDeleteCertificates", body=v3.BatchDeleteCertificatesRequestBody(certificates=[used["id"], free["id"], unknown]))
    outcome = {item.id: (item.ret_status, item.ret_code) for item in answer.certificates}
    assert outcome[free["id"]][0] == "successful"
    assert outcome[unknown] == ("not found", "ELB.9903")
    assert outcome[used["id"]][1] == "ELB.8907" and listener.id in outcome[used["id"]][0]
    elb.delete("Listener", listener.id)
    elb.delete("Certificate", used["id"])
    refused_with(404, "ELB.8904", elb.show, "Certificate", used["id"])


def test_the_names_of_an_sni_certificate_cannot_be_emptied(elb, stage):
    default, sni = stage.certificate(), stage.certificate(*SITE, domain="www.example.com")
    elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTPS", protocol_port=443,
               default_tls_container_ref=default["id"], sni_container_refs=[sni["id"]])
    reply = stage.api.elb("PUT", f"certificates/{sni['id']}", {"certificate": {"domain": ""}})
    assert (reply.status, reply.code) == (409, "ELB.8907"), reply.text


@pytest.mark.covers("ShowCertificatePrivateKeyEcho", "CreateCertificatePrivateKeyEcho")
def test_a_project_may_hide_its_keys(elb, stage):
    made = stage.certificate(*SITE)

    def echo(shown):
        body = v3.CreateCertificatePrivateKeyEchoRequestBody(private_key_echo=shown)
        assert elb.call("CreateCertificatePrivateKeyEcho", body=body).private_key_echo is shown
        assert elb.call("ShowCertificatePrivateKeyEcho").private_key_echo is shown
    assert elb.call("ShowCertificatePrivateKeyEcho").private_key_echo is True, "keys are shown unless the project says otherwise"
    try:
        echo(False)
        assert elb.show("Certificate", made["id"]).private_key == "******"
        assert [item.private_key for item in elb.list("ListCertificates", id=[made["id"]]).certificates] == ["******"]
        assert elb.update("Certificate", made["id"], name="x").private_key == "******"
    finally:
        echo(True)
    assert elb.show("Certificate", made["id"]).private_key.strip() == pki.pair(*SITE).key.strip()


@pytest.mark.covers("ListCertificates")
def test_the_list_shows_certificates_as_show_does_and_pages_by_their_ids(elb, stage):
    made = sorted(stage.certificate(*SITE, name="paged")["id"] for _ in range(3))
    found = elb.list("ListCertificates", name=["paged"], limit=2)
    assert [item.id for item in found.certificates] == made[:2]
    assert found.certificates[0].to_dict() == elb.show("Certificate", made[0]).to_dict()
    assert found.page_info.next_marker == made[1]
    rest = elb.list("ListCertificates", name=["paged"], limit=2, marker=made[1])
    assert [item.id for item in rest.certificates] == made[2:]


def test_keys_are_in_no_log_and_sealed_in_the_store(start):
    from harness.stage import Stage
    process = start()
    stage = Stage(process)
    pair = pki.pair("sealed.example.com", kind="RSA")
    stage.certificate("sealed.example.com", kind="RSA")
    secret = pair.key.splitlines()[1]
    for file in process.directory.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), f"the key is in {file.name}"
