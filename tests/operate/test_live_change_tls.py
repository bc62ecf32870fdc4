"""Changes of what HTTPS traffic runs on, under 500 open TLS connections: no request fails, no connection is closed."""

import itertools

import pytest

from harness import pki, tls
from harness.load import SecureLoad
from harness.wait import eventually

CONNECTIONS = 500
ROUNDS = 6
SUITES = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]


class Ground:
    """A listener with a certificate, an IP group, a security policy and a forwarding policy that change."""

    def __init__(self, stage, member):
        self.stage, self.api = stage, stage.api
        self.pairs = [pki.authority().issue(tls.SITE) for _ in range(2)]
        self.certificate = stage.beside("certificates", "certificate", certificate=self.pairs[0].chain, private_key=self.pairs[0].key)
        self.group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "127.0.0.0/8"}])
        self.security = stage.beside("security-policies", "security_policy", protocols=["TLSv1.2", "TLSv1.3"], ciphers=[*SUITES, "TLS_AES_256_GCM_SHA384"])
        self.front = stage.secure([member("a")], certificate=self.certificate, listener={
            "enhance_l7policy_enable": True, "security_policy_id": self.security["id"], "ipgroup": {"ipgroup_id": self.group["id"], "type": "white"}})
        other = self.api.create("pools", "pool", loadbalancer_id=self.front.load_balancer["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        server = member("b")
        self.api.create(f"pools/{other['id']}/members", "member", address=server.address, protocol_port=server.port, subnet_cidr_id=stage.subnet)
        self.pool = other["id"]
        self.policies = []

    def change_certificate(self, number):
        """Another pair; new handshakes show it at once."""
        pair = self.pairs[(number + 1) % 2]
        self.api.update(f"certificates/{self.certificate['id']}", "certificate", certificate=pair.chain, private_key=pair.key)
        with tls.Secure(self.front.where) as client:
            assert client.certificate == pair.der

    def change_policy(self, number):
        """One policy that takes all requests comes, changes, goes."""
        if number % 3 == 0:
            rules = [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/"}]
            self.policies.append(self.api.create("l7policies", "l7policy", listener_id=self.front.listener["id"], action="REDIRECT_TO_POOL",
                                                 redirect_pool_id=self.pool, rules=rules)["id"])
            assert tls.get(self.front.where).body == b"b"
        elif number % 3 == 1:
            self.api.update(f"l7policies/{self.policies[-1]}", "l7policy", redirect_pools_extend_config={
                "insert_headers_config": {"configs": [{"key": "x-a", "value_type": "USER_DEFINED", "value": "1"}]}})
        else:
            self.api.delete(f"l7policies/{self.policies.pop()}")
            assert tls.get(self.front.where).body == b"a"

    def change_group(self, number):
        """More entries, fewer entries; the clients stay inside."""
        self.api.update(f"ipgroups/{self.group['id']}", "ipgroup", ip_list=[{"ip": "127.0.0.0/9" if number % 2 else "127.0.0.0/8"}, {"ip": f"10.0.{number}.0/24"}])

    def change_security(self, number):
        """Versions and suites; the clients can do all of them."""
        versions = [["TLSv1.2"], ["TLSv1.3"], ["TLSv1.2", "TLSv1.3"]][number % 3]
        ciphers = (SUITES if "TLSv1.2" in versions else []) + (["TLS_AES_256_GCM_SHA384"] if "TLSv1.3" in versions else [])
        self.api.update(f"security-policies/{self.security['id']}", "security_policy", protocols=versions, ciphers=ciphers)
        assert (tls.suite_with(self.front.where, version="TLSv1.3") is not None) == ("TLSv1.3" in versions)


@pytest.mark.parametrize("what", ["certificate", "policy", "group", "security", "all"])
def test_no_request_fails_and_no_connection_is_closed(stage, member, what):
    ground = Ground(stage, member)
    changes = [ground.change_certificate, ground.change_policy, ground.change_group, ground.change_security] if what == "all" else [getattr(ground, f"change_{what}")]
    with SecureLoad(ground.front.where, kept=CONNECTIONS if what == "all" else 100) as load:
        for number in range(ROUNDS):
            for change in changes:
                change(number)
            seen = load.done
            eventually(lambda seen=seen: load.done >= seen + load.kept, within=20, what="a round of requests after the change")
            assert load.failures == [], load.failures[:3]
    assert load.failures == [] and load.opened == load.kept, f"{load.opened - load.kept} connections had to be opened again"


def test_a_change_of_every_kind_is_in_force_for_new_connections(stage, member):
    ground = Ground(stage, member)
    for number, change in itertools.product(range(3), [ground.change_certificate, ground.change_policy, ground.change_security]):
        change(number)
