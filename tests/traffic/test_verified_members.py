"""HTTPS pools whose members have to prove who they are: `member_tls`, a field of our own (docs/guide/limits.md)."""

import ssl

import pytest

from harness import metrics, pki, tls
from harness.http_member import HttpMember
from harness.members import ADDRESS
from harness.tls import Secure
from harness.wait import eventually

HOST = "api.shop.internal"
OTHER = pki.Authority()


class ProvenMember(HttpMember):
    """Ends TLS itself with the certificate in `shown`; `asked` are the names that clients asked for."""

    def __init__(self, name, *, shown, **where):
        self.shown, self.asked = shown, []
        super().__init__(name, **where)

    def serve(self, connection, peer):
        terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki.load(terms, self.shown)
        terms.sni_callback = lambda socket, name, context: self.asked.append(name)
        with terms.wrap_socket(connection, server_side=True) as secure:
            super().serve(secure, peer)


def authority(stage, issuer=None):
    """The certificate object of an authority; by default of the one that tests share."""
    return stage.beside("certificates", "certificate", type="client", certificate=(issuer or pki.authority()).pem)["id"]


def verifying(stage, members, *, ca=None, name=HOST):
    """A front whose HTTPS pool verifies its members."""
    member_tls = {"ca_certificate_id": ca or authority(stage), "server_name": name}
    return stage.secure(members, pool={"protocol": "HTTPS", "member_tls": member_tls})


SHOWN = [
    ("the name", HOST, lambda: pki.pair(HOST), 200),
    ("the name, with an RSA key", HOST, lambda: pki.pair(HOST, kind="RSA"), 200),
    ("a wildcard", HOST, lambda: pki.pair("*.shop.internal"), 200),
    ("the address", None, lambda: pki.pair(ADDRESS), 200),
    ("another authority", HOST, lambda: OTHER.issue(HOST), 502),
    ("another name", HOST, lambda: pki.pair("api.shop.external"), 502),
    ("a name for an address", None, lambda: pki.pair(HOST), 502),
    ("another address", None, lambda: pki.pair("127.88.250.2"), 502),
    ("out of date", HOST, lambda: pki.authority().issue(HOST, expired=True), 502),
]


@pytest.mark.parametrize("why, name, shown, status", SHOWN, ids=[row[0] for row in SHOWN])
def test_only_who_proves_it_gets_requests(fulcrum, member, stage, why, name, shown, status):
    server = member("inner", kind=ProvenMember, shown=shown())
    front = verifying(stage, [server], name=name)
    assert tls.get(front.where, method="POST", body=b"secret").status == status
    assert server.count() == (1 if status == 200 else 0)
    refused = metrics.total(metrics.scrape(fulcrum), "fulcrum_member_unverified_total", pool=front.pool["id"])
    assert (refused > 0) == (status == 502)
    if status == 502:
        told = [line for line in fulcrum.log.read_text().splitlines() if front.members["inner"] in line]
        assert len(told) == 1 and "certificate does not verify" in told[0], told
    elif name:
        assert set(server.asked) == {HOST}
    else:
        assert set(server.asked) == {None}


def test_the_next_member_gets_what_the_first_must_not_see(member, stage):
    good = member("good", kind=ProvenMember, shown=pki.pair(HOST))
    bad = member("bad", kind=ProvenMember, shown=OTHER.issue(HOST))
    front = verifying(stage, [bad, good])
    assert {tls.get(front.where, method="POST", body=b"secret").body for _ in range(6)} == {b"good"}
    assert bad.count() == 0


def test_a_new_authority_counts_at_once(member, stage):
    """Replaced in its place, as when an authority is renewed: also for clients and members that keep their connections."""
    server = member("inner", kind=ProvenMember, shown=pki.pair(HOST))
    ca = authority(stage)
    front = verifying(stage, [server], ca=ca)
    with Secure(front.where) as client:
        for issuer, status in ((pki.authority(), 200), (OTHER, 502), (pki.authority(), 200)):
            stage.api.update(f"certificates/{ca}", "certificate", certificate=issuer.pem)
            assert client.ask("/").status == status
        both = pki.authority().pem + OTHER.pem
        stage.api.update(f"certificates/{ca}", "certificate", certificate=both)
        assert client.ask("/").status == 200
        server.shown = OTHER.issue(HOST)
        server.cut()
        eventually(lambda: client.ask("/").status == 200, what="a member from the second authority is reached")


def test_verifying_is_switched_on_and_off_live(member, stage):
    server = member("inner", kind=ProvenMember, shown=OTHER.issue(HOST))
    front = stage.secure([server], pool={"protocol": "HTTPS"})
    ours, theirs = authority(stage), authority(stage, OTHER)
    with Secure(front.where) as client:
        for member_tls, status in ((None, 200), ({"ca_certificate_id": ours}, 502), ({"ca_certificate_id": theirs}, 502),
                                   ({"server_name": HOST}, 200), ({"server_name": "web"}, 502), (None, 200)):
            front.edit_pool(member_tls=member_tls)
            assert client.ask("/").status == status, member_tls
