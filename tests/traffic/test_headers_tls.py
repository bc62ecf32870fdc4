"""What members are told of a client's TLS: every switch, every alias, and that nobody can say it in our place."""

import re
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from harness import pki, tls

SWITCHES = {
    "X-Forwarded-TLS-Protocol": "X-Forwarded-TLS-Protocol",
    "X-Forwarded-TLS-Cipher": "X-Forwarded-TLS-Cipher",
    "X-Forwarded-Clientcert-subjectdn-enable": "X-Forwarded-Clientcert-subjectdn",
    "X-Forwarded-Clientcert-issuerdn-enable": "X-Forwarded-Clientcert-issuerdn",
    "X-Forwarded-Clientcert-fingerprint-enable": "X-Forwarded-Clientcert-fingerprint",
    "X-Forwarded-Clientcert-clientverify-enable": "X-Forwarded-Clientcert-clientverify",
    "X-Forwarded-Clientcert-serialnumber-enable": "X-Forwarded-Clientcert-serialnumber",
    "X-Forwarded-Clientcert-enable": "X-Forwarded-Clientcert",
    "X-Forwarded-Clientcert-ciphers-enable": "X-Forwarded-Clientcert-ciphers",
    "X-Forwarded-Clientcert-end-enable": "X-Forwarded-Clientcert-end",
    "X-Forwarded-Tls-Alpn-Protocol-enable": "X-Forwarded-Tls-Alpn-Protocol",
    "X-Forwarded-Tls-Sni-enable": "X-Forwarded-Tls-Sni",
    "X-Forwarded-Tls-Ja3-enable": "X-Forwarded-Tls-Ja3",
    "X-Forwarded-Tls-Ja4-enable": "X-Forwarded-Tls-Ja4",
}


def alias_field(switch):
    """The field that renames a header."""
    return switch.removesuffix("-enable") + "-alias"


def seen(front, server, **options):
    """The request as the member got it, by lower-case name; several values joined by " | "."""
    assert tls.get(front.where, "/seen", **options).status == 200
    found = {}
    for name, value in server.requests[-1].headers:
        found[name.lower()] = f"{found[name.lower()]} | {value}" if name.lower() in found else value
    return found


@pytest.fixture
def ground(member, stage):
    """A listener with mutual TLS and every switch on: (front, member, the client's pair)."""
    clients = pki.Authority()
    ca = stage.beside("certificates", "certificate", type="client", certificate=clients.pem)
    server = member("a")
    front = stage.secure([server], listener={"client_ca_tls_container_ref": ca["id"], "tls_ciphers_policy": "tls-1-2-fs-with-1-3",
                                             "insert_headers": {**dict.fromkeys(SWITCHES, True), "X-Forwarded-TLS-Certificate-ID": True}})
    return front, server, clients.issue("client.example.com", common_name="client-7")


def test_every_switch_on(ground):
    front, server, pair = ground
    got = seen(front, server, context=tls.context(version="TLSv1.2", suites=["ECDHE-ECDSA-AES128-GCM-SHA256"], client=pair, alpn=["http/1.1"]))
    leaf = x509.load_pem_x509_certificate(pair.leaf.encode())
    assert got["x-forwarded-tls-certificate-id"] == front.listener["default_tls_container_ref"]
    assert (got["x-forwarded-tls-protocol"], got["x-forwarded-tls-cipher"]) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert "CN=client-7" in got["x-forwarded-clientcert-subjectdn"] and "O=trustme" in got["x-forwarded-clientcert-issuerdn"]
    fingerprint = got["x-forwarded-clientcert-fingerprint"].replace(":", "").lower()
    assert fingerprint in (leaf.fingerprint(hashes.SHA1()).hex(), leaf.fingerprint(hashes.SHA256()).hex())
    assert got["x-forwarded-clientcert-clientverify"] == "SUCCESS"
    assert int(got["x-forwarded-clientcert-serialnumber"].replace(":", ""), 16) == leaf.serial_number
    assert "BEGIN CERTIFICATE" in urllib.parse.unquote(got["x-forwarded-clientcert"])
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in got["x-forwarded-clientcert-ciphers"]
    assert str(leaf.not_valid_after_utc.year) in got["x-forwarded-clientcert-end"]
    assert (got["x-forwarded-tls-alpn-protocol"], got["x-forwarded-tls-sni"]) == ("http/1.1", tls.SITE)
    assert re.fullmatch("[0-9a-f]{32}", got["x-forwarded-tls-ja3"])
    assert re.fullmatch(r"t12d\d{4}h1_[0-9a-f]{12}_[0-9a-f]{12}", got["x-forwarded-tls-ja4"])


def test_fingerprints_name_the_client_and_not_the_connection(ground):
    front, server, pair = ground
    modern, old = tls.context(client=pair), tls.context(version="TLSv1.2", suites=["ECDHE-ECDSA-AES128-GCM-SHA256"], client=pair)
    twice = [seen(front, server, context=modern) for _ in range(2)]
    other = seen(front, server, context=old)
    for name in ("x-forwarded-tls-ja3", "x-forwarded-tls-ja4"):
        assert twice[0][name] == twice[1][name] != other[name]
    assert twice[0]["x-forwarded-tls-ja4"].startswith("t13d") and twice[0]["x-forwarded-tls-protocol"] == "TLSv1.3"


def test_names_can_be_changed(ground):
    front, server, pair = ground
    aliases = {alias_field(switch): f"X-My-{number}" for number, switch in enumerate(SWITCHES)}
    front.edit(insert_headers={**dict.fromkeys(SWITCHES, True), **aliases})
    got = seen(front, server, context=tls.context(client=pair, alpn=["http/1.1"]), headers=[("X-My-0", "spoofed"), ("x_my_1", "spoofed")])
    assert {f"x-my-{number}" for number in range(len(SWITCHES))} <= set(got)
    assert got["x-my-0"] == "TLSv1.3" and got["x-my-11"] == tls.SITE and not [value for value in got.values() if "spoofed" in value]


def test_nobody_can_say_it_in_our_place(ground):
    front, server, pair = ground
    for spelling in (str, str.lower, str.upper, lambda name: name.replace("-", "_")):
        lies = [(spelling(name), "spoofed") for name in SWITCHES.values()]
        got = seen(front, server, context=tls.context(client=pair), headers=lies)
        assert not {name: value for name, value in got.items() if "spoofed" in value}


def test_without_a_client_certificate_its_headers_are_not_there_and_lies_go(member, stage):
    server = member("a")
    front = stage.secure([server], listener={"insert_headers": dict.fromkeys(SWITCHES, True)})
    got = seen(front, server, headers=[("X-Forwarded-Clientcert-subjectdn", "CN=spoofed"), ("X-Forwarded-Clientcert", "spoofed")])
    assert "spoofed" not in " ".join(got.values())
    assert got.get("x-forwarded-clientcert-clientverify", "NONE") != "SUCCESS"


def test_off_means_off(member, stage):
    server = member("a")
    front = stage.secure([server])
    got = seen(front, server)
    assert not {name.lower() for name in SWITCHES.values()} & set(got)
    assert (got["x-forwarded-proto"], got["x-forwarded-for"]) == ("https", "127.0.0.1")
