"""HTTPS listeners: versions and suites by policy, certificates by name, mutual TLS, resumption, early data (behaviour/tls.md)."""

import json
import re
import ssl
import subprocess

import pytest

from harness import pki, tls
from harness.http1 import Connection
from harness.http_member import HttpMember
from harness.tls import REFUSALS, Secure, context, s_client, suite_with
from harness.wait import eventually

class TlsMember(HttpMember):
    """Ends TLS itself; counts its handshakes in `secured`."""
    secured = 0

    def serve(self, connection, peer):
        terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki.load(terms, pki.pair("inner.example.com"))
        with terms.wrap_socket(connection, server_side=True) as secure:
            self.secured += 1
            super().serve(secure, peer)


GROUPS = {
    "A": "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-SHA384",
    "B": "ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA",
    "C": "ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-GCM-SHA256",
    "D": "AES128-GCM-SHA256 AES256-GCM-SHA384",
    "E": "ECDHE-RSA-AES128-SHA256",
    "F": "AES128-SHA256 AES256-SHA256",
    "G": "ECDHE-RSA-AES256-SHA384",
    "H": "ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA",
    "I": "AES128-SHA AES256-SHA",
}
ALL = [suite for group in GROUPS.values() for suite in group.split()]
POLICIES = {
    "tls-1-0": ("TLSv1.2 TLSv1.1 TLSv1", "ABCDEFGHI"),
    "tls-1-1": ("TLSv1.2 TLSv1.1", "ABCDEFGHI"),
    "tls-1-2": ("TLSv1.2", "ABCDEFGHI"),
    "tls-1-0-inherit": ("TLSv1.2 TLSv1.1 TLSv1", "ABCDEFGHI"),
    "tls-1-2-strict": ("TLSv1.2", "ACDEFG"),
    "tls-1-2-fs": ("TLSv1.2", "ACEG"),
    "tls-1-0-with-1-3": ("TLSv1.3 TLSv1.2 TLSv1.1 TLSv1", "ABCDEFGHI"),
    "tls-1-2-fs-with-1-3": ("TLSv1.3 TLSv1.2", "ACEG"),
    "hybrid-policy-1-0": ("TLSv1.2 TLSv1.1", "ABCDEFGHI"),
}
NO_CBC = [suite for suite in ALL if suite.startswith("ECDHE") and "GCM" in suite]
# Of the old names that only `tls-1-0-inherit` has, those that OpenSSL still knows.
INHERITED = ["DHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA", "CAMELLIA128-SHA", "CAMELLIA256-SHA", "DHE-RSA-CAMELLIA128-SHA", "DHE-RSA-CAMELLIA256-SHA"]


@pytest.fixture
def both(member, stage):
    """A listener with an RSA and an ECDSA certificate for one name."""
    pair = {kind: stage.certificate(tls.SITE, kind=kind, domain=tls.SITE)["id"] for kind in ("RSA", "ECDSA")}
    return stage.front([member("a")], protocol="HTTPS", pool={"protocol": "HTTP"}, listener={
        "default_tls_container_ref": pair["RSA"], "sni_container_refs": list(pair.values()), "tls_ciphers_policy": "tls-1-2"})


# -- policies

@pytest.mark.parametrize("policy", [*POLICIES, "tls-1-2-strict-no-cbc"])
def test_a_policy_serves_its_versions_and_suites_and_no_others(both, policy):
    versions, groups = POLICIES.get(policy, ("TLSv1.2", ""))
    suites = [suite for group in groups for suite in GROUPS[group].split()] or NO_CBC
    suites += INHERITED if policy == "tls-1-0-inherit" else []
    both.edit(tls_ciphers_policy=policy)
    served = {version for version in tls.VERSIONS if suite_with(both.where, version=version)}
    assert served == set(versions.split())
    got = {suite: suite_with(both.where, version="TLSv1.2", suites=[suite]) for suite in ALL + INHERITED}
    assert got == {suite: suite if suite in suites else None for suite in ALL + INHERITED}


def test_the_order_is_the_policys_and_ecdsa_comes_first(both):
    wish = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    assert suite_with(both.where, version="TLSv1.2", suites=wish) == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert suite_with(both.where, version="TLSv1.2", suites=["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]) == "ECDHE-RSA-AES256-GCM-SHA384"


def test_a_policy_of_ones_own_wins(both):
    own = both.stage.beside("security-policies", "security_policy", protocols=["TLSv1.2"], ciphers=["ECDHE-RSA-AES128-GCM-SHA256"])
    both.edit(security_policy_id=own["id"])
    served = [suite for suite in ALL if suite_with(both.where, version="TLSv1.2", suites=[suite])]
    assert served == ["ECDHE-RSA-AES128-GCM-SHA256"]
    both.stage.api.update(f"security-policies/{own['id']}", "security_policy", protocols=["TLSv1.3"], ciphers=["TLS_AES_256_GCM_SHA384"])
    assert {version for version in tls.VERSIONS if suite_with(both.where, version=version)} == {"TLSv1.3"}
    assert suite_with(both.where, version="TLSv1.3") == "TLS_AES_256_GCM_SHA384"


# -- clients that can do no better

OLD = {"TLSv1": None, "TLSv1.1": None, "TLSv1.2": ["AES128-SHA"]}


@pytest.fixture
def old(both):
    """A listener that admits TLS 1.0."""
    both.edit(tls_ciphers_policy="tls-1-0", insert_headers={"X-Forwarded-TLS-Protocol": True, "X-Forwarded-TLS-Cipher": True})
    return both


@pytest.mark.parametrize("version", OLD)
def test_old_clients_take_the_same_way(old, version):
    with Secure(old.where, context=context(version=version, suites=OLD[version])) as client:
        seen = json.loads(client.ask("/request").body)
        told = {name.lower(): value for name, value in seen["headers"]}
        assert told["x-forwarded-tls-protocol"] == version and told["x-forwarded-tls-cipher"] == client.suite
        assert client.ask("/sink", method="POST", body=b"z" * 3_000_000).body == b"3000000"
        client.request("/bytes/9000000")
        assert client.answer(keep=False).length == 9_000_000
        assert client.ask().body == b"a"


@pytest.mark.parametrize("version", OLD)
def test_old_clients_resume_on_every_worker(old, version):
    terms = context(version=version, suites=OLD[version])
    with Secure(old.where, context=terms) as client:
        client.ask()
        session = client.socket.session
    for _ in range(8):
        with Secure(old.where, context=terms, session=session) as client:
            assert client.ask().body == b"a" and client.socket.session_reused


def test_a_change_leaves_old_clients_connections_alone(old):
    terms = context(version="TLSv1")
    with Secure(old.where, context=terms) as client:
        assert client.ask().body == b"a"
        old.edit(tls_ciphers_policy="tls-1-2-strict")
        assert suite_with(old.where, version="TLSv1") is None
        assert client.ask().body == b"a"


@pytest.mark.parametrize("suite", ["CAMELLIA128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256"])
def test_a_policy_that_only_old_clients_can_meet_is_served(both, suite):
    own = both.stage.beside("security-policies", "security_policy", protocols=["TLSv1.2"], ciphers=[suite])
    both.edit(security_policy_id=own["id"])
    assert suite_with(both.where, version="TLSv1.2", suites=[suite, "ECDHE-RSA-AES128-GCM-SHA256"]) == suite
    assert suite_with(both.where, version="TLSv1.2", suites=["ECDHE-RSA-AES128-GCM-SHA256"]) is None


# -- certificates

def test_one_name_with_both_kinds_of_key(both):
    for suites, kind in ((["ECDHE-RSA-AES128-GCM-SHA256"], "RSA"), (["ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA")):
        with Secure(both.where, context=context(version="TLSv1.2", suites=suites)) as client:
            assert client.certificate == pki.pair(tls.SITE, kind=kind).der


NAMES = ["default.example.com", "a.example.com", "*.example.com", "*.deep.example.com"]
CHOICES = {
    "wildcard": {"a.example.com": "a.example.com", "A.EXAMPLE.com": "a.example.com", "b.example.com": "*.example.com", "x.y.example.com": "default.example.com",
                 "z.deep.example.com": "*.deep.example.com", "example.com": "default.example.com", "other.org": "default.example.com"},
    "longest_suffix": {"a.example.com": "a.example.com", "b.example.com": "*.example.com", "x.y.example.com": "*.example.com",
                       "y.z.deep.example.com": "*.deep.example.com", "other.org": "default.example.com"},
}


@pytest.mark.parametrize("how", CHOICES)
def test_the_name_chooses_the_certificate(member, stage, how):
    made = {name: stage.certificate(name, domain=name)["id"] for name in NAMES}
    front = stage.front([member()], protocol="HTTPS", pool={"protocol": "HTTP"}, listener={
        "default_tls_container_ref": made[NAMES[0]], "sni_container_refs": [made[name] for name in NAMES[1:]], "sni_match_algo": how})
    ders = {pki.pair(name).der: name for name in NAMES}
    found = {}
    for name in CHOICES[how]:
        with Secure(front.where, name=name) as client:
            found[name] = ders[client.certificate]
    assert found == CHOICES[how]
    with Secure(front.where, name=None) as client:
        assert ders[client.certificate] == NAMES[0], "no name at all"


def test_a_replaced_certificate_is_used_at_once_and_old_connections_live(member, stage):
    before, after = pki.authority().issue(tls.SITE), pki.authority().issue(tls.SITE)
    certificate = stage.beside("certificates", "certificate", certificate=before.chain, private_key=before.key)
    front = stage.secure([member("a")], certificate=certificate)
    with Secure(front.where) as old:
        assert old.certificate == before.der
        stage.api.update(f"certificates/{certificate['id']}", "certificate", certificate=after.chain, private_key=after.key)
        for _ in range(4):
            with Secure(front.where) as new:
                assert new.certificate == after.der and new.ask().body == b"a"
        assert old.ask().body == b"a"


def test_an_expired_certificate_is_served(member, stage):
    pair = pki.authority().issue(tls.SITE, expired=True)
    front = stage.secure([member("a")], certificate=stage.beside("certificates", "certificate", certificate=pair.chain, private_key=pair.key))
    assert tls.get(front.where, context=context(verify=False)).body == b"a"


# -- mutual TLS

@pytest.fixture
def mutual(member, stage):
    """A listener that wants certificates of an authority of its own: (front, that authority)."""
    clients = pki.Authority()
    ca = stage.beside("certificates", "certificate", type="client", certificate=clients.pem)
    return stage.secure([member("a")], listener={"client_ca_tls_container_ref": ca["id"], "tls_ciphers_policy": "tls-1-2-fs-with-1-3"}), clients


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2", "TLSv1.1"])
def test_mutual_tls(mutual, version):
    front, clients = mutual
    if version == "TLSv1.1":
        front.edit(tls_ciphers_policy="tls-1-1")
    good = clients.issue("client.example.com", common_name="client")
    assert tls.get(front.where, context=context(version=version, client=good)).body == b"a"
    for why, bad in (("none", None), ("a stranger's", pki.authority().issue("client.example.com")), ("an expired one", clients.issue("c.example.com", expired=True))):
        with pytest.raises(REFUSALS):
            tls.get(front.where, context=context(version=version, client=bad))
            pytest.fail(why)


def test_mutual_tls_is_not_slipped_past_by_a_ticket(mutual, stage):
    front, clients = mutual
    terms = context(version="TLSv1.2", client=clients.issue("client.example.com"))
    with Secure(front.where, context=terms) as client:
        client.ask()
        session = client.socket.session
    other = pki.Authority()
    front.edit(client_ca_tls_container_ref=stage.beside("certificates", "certificate", type="client", certificate=other.pem)["id"])
    with pytest.raises(REFUSALS), Secure(front.where, context=terms, session=session) as client:
        client.ask()
    front.edit(client_ca_tls_container_ref=None)
    assert tls.get(front.where).body == b"a"


# -- resumption and early data

@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed_on_every_worker(both, version):
    both.edit(tls_ciphers_policy="tls-1-2-fs-with-1-3")
    terms = context(version=version)
    with Secure(both.where, context=terms) as client:
        client.ask()
        assert not client.socket.session_reused
        session = client.socket.session
    assert session.has_ticket
    for _ in range(8):
        with Secure(both.where, context=terms, session=session) as client:
            assert client.ask().body == b"a" and client.socket.session_reused
            session = client.socket.session


def test_s_client_resumes(both):
    out = s_client(both.where, "-tls1_2", "-reconnect")
    assert out.count("Reused, TLSv1.2") == 5, out[-2000:]


class EarlyClient:
    """`openssl s_client` with a session file, as a browser that comes again."""

    def __init__(self, front, directory):
        self.front, self.session, self.file = front, directory / "session", directory / "request"
        self.promised = self.visit()

    def visit(self):
        """A visit without early data, which leaves a session; how many bytes may be said early in the next one."""
        out = s_client(self.front.where, "-tls1_3", "-sess_out", self.session, "-ign_eof", stdin=closing("GET", "/visit"))
        ticket = re.search(r"Max Early Data: (\d+)", out)
        return int(ticket.group(1)) if ticket else 0

    def say(self, request, then=b""):
        """Says a request early under the session last left, and `then` after the handshake; (accepted, all output)."""
        self.file.write_bytes(request)
        out = s_client(self.front.where, "-tls1_3", "-sess_in", self.session, "-early_data", self.file, "-ign_eof", stdin=then)
        said = re.search(r"Early data was (accepted|rejected|not sent)", out)
        assert said, out[-2000:]
        return said.group(1), out


def closing(method, target):
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def eager(member, stage):
    """A listener that takes early data, and its member."""
    server = member("a")
    return stage.secure([server], listener={"tls_ciphers_policy": "tls-1-2-fs-with-1-3", "ssl_early_data_enable": True}), server


def seen(server, path):
    """What the requests for a path said of early data."""
    return [request.header("early-data") for request in list(server.requests) if request.target == path]


def test_what_is_safe_is_served_early_and_the_member_is_told(tmp_path, eager):
    front, server = eager
    client = EarlyClient(front, tmp_path)
    assert client.promised == 16384
    for attempt in range(5):
        path = f"/early/{attempt}"
        result, out = client.say(closing("GET", path))
        assert result == "accepted" and "HTTP/1.1 200 OK" in out, out[-2000:]
        # Where the handshake's end came along, the request was early no more.
        assert seen(server, path) in ([["1"]], [[]])
        if seen(server, path) == [["1"]]:
            break
        client.visit()
    else:
        pytest.fail("no request was early")
    assert seen(server, "/visit")[0] == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_is_not_safe_waits_for_the_handshake(tmp_path, eager, method):
    front, server = eager
    result, out = EarlyClient(front, tmp_path).say(closing(method, "/late"))
    assert result == "accepted" and "HTTP/1.1 200 OK" in out, out[-2000:]
    assert seen(server, "/late") == [[]]


def test_a_ticket_is_taken_once(tmp_path, eager):
    front, server = eager
    client = EarlyClient(front, tmp_path)
    assert client.say(closing("GET", "/once"))[0] == "accepted"
    for _ in range(4):
        result, out = client.say(closing("GET", "/once"), then=closing("GET", "/after"))
        assert result == "rejected" and "HTTP/1.1 200 OK" in out, out[-2000:]
    assert len(seen(server, "/once")) == 1
    assert seen(server, "/after") == [[]] * 4


def test_early_data_is_taken_only_while_the_switch_is_on(tmp_path, eager):
    front, server = eager
    client = EarlyClient(front, tmp_path)
    front.edit(ssl_early_data_enable=False)
    result, out = client.say(closing("GET", "/early"), then=closing("GET", "/after"))
    assert result == "rejected" and "HTTP/1.1 200 OK" in out, out[-2000:]
    assert client.visit() == 0
    result, out = client.say(closing("GET", "/early"), then=closing("GET", "/after"))
    assert result == "not sent" and "HTTP/1.1 200 OK" in out, out[-2000:]
    assert seen(server, "/early") == [] and seen(server, "/after") == [[], []]


# -- what else may come

def test_plain_http_on_the_port_is_told_so(both):
    with Connection(both.where) as client:
        answer = client.request("/").answer()
        assert answer.status == 400 and client.is_closed()
    assert tls.get(both.where).body == b"a"


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02", b"\x00" * 64, b"\x16\x03\x01\xff\xff" + b"\x01" * 2000, b"SSH-2.0-x\r\n"])
def test_garbage_ends_the_connection_and_nothing_else(both, garbage):
    with Connection(both.where) as client:
        client.send(garbage).finish()
        client.is_closed()
    assert tls.get(both.where).body == b"a"


def test_curl_and_the_members_view(tmp_path, both):
    ca = tmp_path / "ca.pem"
    ca.write_text(pki.authority().pem)
    at = ["--cacert", str(ca), "--resolve", f"{tls.SITE}:{both.where[1]}:{both.where[0]}", "--noproxy", "*", "--silent", "--show-error", "--max-time", "20"]
    done = subprocess.run(["curl", *at, f"https://{tls.SITE}:{both.where[1]}/request"], capture_output=True, timeout=30)
    assert done.returncode == 0 and b'"x-forwarded-proto", "https"' in done.stdout.lower(), done


def test_a_large_body_both_ways(both):
    with Secure(both.where) as client:
        assert client.ask("/sink", method="POST", body=b"z" * 5_000_000).body == b"5000000"
        client.request("/bytes/20000000")
        assert client.answer(keep=False).length == 20_000_000


def test_members_over_tls(member, stage):
    """An HTTPS pool: the way to the member is encrypted again."""
    server = member("inner", kind=TlsMember)
    front = stage.secure([server], pool={"protocol": "HTTPS"})
    assert tls.get(front.where).body == b"inner"
    assert tls.get(front.where, "/echo", method="POST", body=b"x" * 100_000).body == b"x" * 100_000
    eventually(lambda: server.secured >= 1, what="handshakes with the member")
