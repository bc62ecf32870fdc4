"""Random edits of everything that an API user can edit, around listeners of every protocol whose clients must not notice.

One load balancer has an HTTP, HTTPS, QUIC, TCP and UDP listener; each has a pool of two steady members, who stay, and others that come
and go. What is edited is theirs (`Ground`), or belongs to neighbours on the same load balancer or on others.
"""

import random

from harness import pki, tls
from harness.dns import DnsMember
from harness.http_member import HttpMember
from harness.members import EchoMember

# Long, so that connections to where no new work goes are not ended before the test is over.
DRAIN = {"enable": True, "timeout": 3600}
SUITES = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]


class Side:
    """One of our listeners with its pool and the servers that can be in it; the first two always are."""

    def __init__(self, front, servers, *, monitors):
        self.front, self.steady, self.spare, self.monitors = front, servers[:2], servers[2:], monitors
        self.extra, self.monitor, self.policies = [], None, {}
        self.pools = [front.pool["id"]]


class Ground:
    """What is edited; `edits` are the methods that do one edit each."""

    def __init__(self, stage, member, seed):
        self.stage, self.api, self.rng = stage, stage.api, random.Random(seed)
        self.lb = stage.load_balancer()
        self.pairs = [pki.authority().issue(tls.SITE, kind="RSA") for _ in range(2)]
        self.certificates = [stage.beside("certificates", "certificate", certificate=self.pairs[0].chain, private_key=self.pairs[0].key)["id"],
                             stage.certificate(tls.SITE, kind="RSA")["id"], stage.certificate(tls.SITE, kind="ECDSA")["id"]]
        self.names = [stage.certificate(f"{name}.example.com", domain=f"{name}.example.com", kind="RSA")["id"] for name in ("a", "b", "c")]
        self.security = stage.beside("security-policies", "security_policy", protocols=["TLSv1.2", "TLSv1.3"],
                                     ciphers=[*SUITES, "TLS_AES_128_GCM_SHA256"])["id"]
        self.groups = {"white": stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "127.0.0.0/8"}])["id"],
                       "black": stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.0/8"}])["id"]}
        web = [member(f"web{number}") for number in range(5)]
        encrypted = {"default_tls_container_ref": self.certificates[0], "enhance_l7policy_enable": True}
        self.web = self._side(web, "HTTP", {"enhance_l7policy_enable": True})
        self.secure = self._side(web, "HTTPS", {**encrypted, "http2_enable": True, "security_policy_id": self.security})
        self.quic = self._side(web, "QUIC", encrypted)
        self.tcp = self._side([member(f"tcp{number}", kind=EchoMember) for number in range(4)], "TCP", {})
        self.udp = self._side([member(f"udp{number}", kind=DnsMember) for number in range(4)], "UDP", {})
        self.layer7 = [self.web, self.secure, self.quic]
        self.sides = [*self.layer7, self.tcp, self.udp]
        self.answers = {server.name.encode() for server in web}
        self.servers = web
        self.others, self.log, self.serial = [], None, 0
        self.edits = [getattr(self, name) for name in sorted(dir(self)) if name.startswith(("member_", "pool_", "listener_", "policy_", "monitor_", "tls_",
                                                                                          "access_", "other_", "balancer_"))]

    def _side(self, servers, protocol, listener):
        pool = {"protocol": "HTTP" if protocol in ("HTTPS", "QUIC") else protocol, "connection_drain": DRAIN}
        front = self.stage.front(servers[:2], protocol=protocol, listener=listener, pool=pool, load_balancer=self.lb)
        kinds = {"TCP": ["TCP"], "UDP": ["UDP_CONNECT"]}.get(pool["protocol"], ["TCP", "HTTP"])
        return Side(front, servers, monitors=kinds)

    def step(self):
        """One edit; answers its name."""
        edit = self.rng.choice(self.edits)
        edit()
        return edit.__name__

    def _number(self):
        self.serial += 1
        return self.serial

    # -- members

    def member_come(self):
        side = self.rng.choice(self.sides)
        if side.spare:
            side.extra.append(side.spare.pop())
            side.front.add(side.extra[-1], weight=self.rng.randint(1, 100))

    def member_go(self):
        side = self.rng.choice(self.sides)
        if side.extra:
            side.spare.append(side.extra.pop(self.rng.randrange(len(side.extra))))
            side.front.remove(side.spare[-1])

    def member_weigh(self):
        """Whoever it is but the first, who always takes work."""
        side = self.rng.choice(self.sides)
        side.front.weigh(self.rng.choice([side.steady[1], *side.extra]), self.rng.choice([0, 1, 50, 100]))

    def member_weigh_some(self):
        side = self.rng.choice(self.sides)
        items = [{"id": side.front.members[server.name], "weight": self.rng.randint(1, 100)} for server in [*side.steady, *side.extra]]
        reply = self.api.elb("POST", f"pools/{side.pools[0]}/members/batch-update", {"members": items})
        assert reply.status == 200, reply.text

    def member_come_and_go_at_once(self):
        side = self.rng.choice(self.sides)
        made = [{"name": server.name, "address": server.address, "protocol_port": server.port, "subnet_cidr_id": self.stage.subnet} for server in side.spare]
        if made:
            reply = self.api.elb("POST", f"pools/{side.pools[0]}/members/batch-add", {"members": made})
            assert reply.status == 201, reply.text
            ids = [{"id": one["id"]} for one in reply.json["members"]]
            reply = self.api.elb("POST", f"pools/{side.pools[0]}/members/batch-delete", {"members": ids})
            assert reply.status == 200, reply.text

    # -- pools

    def pool_algorithm(self):
        self.rng.choice(self.sides).front.edit_pool(lb_algorithm=self.rng.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"]), slow_start=None)

    def pool_stickiness(self):
        side = self.rng.choice(self.sides)
        side.front.edit_pool(session_persistence=self.rng.choice([None, {"type": "HTTP_COOKIE" if side in self.layer7 else "SOURCE_IP"}]))

    def pool_slow_start(self):
        side = self.rng.choice(self.layer7)
        side.front.edit_pool(lb_algorithm="ROUND_ROBIN", slow_start=self.rng.choice([{"enable": True, "duration": 30}, {"enable": False, "duration": 30}]))

    def pool_words(self):
        self.rng.choice(self.sides).front.edit_pool(name=f"n{self._number()}", description="edited", connection_drain={**DRAIN, "timeout": 3600 - self.serial % 9})

    def pool_outliers(self):
        detection = self.rng.choice([None, {"server_errors": self.rng.randint(2, 9), "ejection_time": 5}])
        self.rng.choice(self.layer7).front.edit_pool(outlier_detection=detection)

    def pool_switch(self):
        """To a second pool with the first member alone, and back."""
        side = self.rng.choice(self.layer7)
        other = self._second_pool(side)
        current = self.api.show(f"listeners/{side.front.listener['id']}", "listener")["default_pool_id"]
        side.front.edit(default_pool_id=other if current == side.pools[0] else side.pools[0])

    def _second_pool(self, side):
        if len(side.pools) == 1:
            made = self.api.create("pools", "pool", loadbalancer_id=self.lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN", connection_drain=DRAIN)
            first = side.steady[0]
            self.api.create(f"pools/{made['id']}/members", "member", address=first.address, protocol_port=first.port, subnet_cidr_id=self.stage.subnet)
            side.pools.append(made["id"])
        return side.pools[1]

    # -- listeners

    def listener_timeouts(self):
        side = self.rng.choice(self.sides)
        times = ["keepalive_timeout", "client_timeout", "member_timeout"] if side in self.layer7 else ["keepalive_timeout"]
        side.front.edit(**{name: self.rng.randint(60, 300) for name in times})

    def listener_headers(self):
        self.rng.choice(self.layer7).front.edit(insert_headers={name: self.rng.random() < 0.5 for name in ("X-Forwarded-Port", "X-Real-IP", "X-Forwarded-ELB-ID")})

    def listener_words(self):
        self.rng.choice(self.sides).front.edit(name=f"n{self._number()}", description="edited")

    def listener_connections(self):
        """Limits that the load does not reach; nothing of them holds for what is there."""
        self.rng.choice(self.sides).front.edit(connection=self.rng.choice([0, 5000]), cps=self.rng.choice([0, 5000]))

    def listener_bandwidth(self):
        self.rng.choice([self.web, self.secure, self.tcp]).front.edit(bandwidth=self.rng.choice([0, 1_000_000]))

    def listener_compression(self):
        self.rng.choice([self.web, self.secure]).front.edit(gzip_enable=self.rng.random() < 0.5)

    # -- forwarding policies

    def _rule(self, compare, value):
        return {"type": "PATH", "compare_type": compare, "value": value}

    def _policy(self, side, name, rule, **fields):
        listener = side.front.listener["id"]
        made = self.api.create("l7policies", "l7policy", listener_id=listener, name=name, priority=self._number(), rules=[rule], **fields)
        side.policies[made["id"]] = name

    def policy_for_all(self):
        """One that takes all requests to the second pool; or goes."""
        side = self.rng.choice(self.layer7)
        found = [id for id, name in side.policies.items() if name == "all"]
        if found:
            self._drop(side, found[0])
        else:
            self._policy(side, "all", self._rule("STARTS_WITH", "/"), action="REDIRECT_TO_POOL", redirect_pool_id=self._second_pool(side),
                         redirect_pools_extend_config={"traffic_limit_config": {"qps": 100_000, "per_source_ip_qps": 90_000}})

    def policy_aside(self):
        """One for paths that nobody asks for."""
        side, number = self.rng.choice(self.layer7), self._number()
        action = self.rng.choice([
            {"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "403"}},
            {"action": "REDIRECT_TO_URL", "redirect_url_config": {"host": "elsewhere.example.com", "status_code": "302"}},
            {"action": "REDIRECT_TO_POOL", "redirect_pool_id": side.pools[0]}])
        self._policy(side, "aside", self._rule(self.rng.choice(["EQUAL_TO", "STARTS_WITH"]), f"/aside-{number}"), **action)

    def policy_rules(self):
        """Another path for one of those."""
        side = self.rng.choice(self.layer7)
        for id in [id for id, name in side.policies.items() if name == "aside"][:1]:
            (rule,) = self.api.list(f"l7policies/{id}/rules", "rules")
            self.api.update(f"l7policies/{id}/rules/{rule['id']}", "rule", value=f"/other-{self._number()}")

    def policy_order(self):
        side = self.rng.choice(self.layer7)
        if side.policies:
            places = self.rng.sample(range(1000, 9000), len(side.policies))
            order = [{"id": id, "priority": place} for id, place in zip(side.policies, places)]
            reply = self.api.elb("POST", "l7policies/batch-update-priority", {"l7policies": order})
            assert reply.status == 202, reply.text

    def policy_drop(self):
        side = self.rng.choice(self.layer7)
        if side.policies:
            self._drop(side, self.rng.choice(list(side.policies)))

    def _drop(self, side, id):
        del side.policies[id]
        self.api.delete(f"l7policies/{id}")

    # -- health monitors

    def monitor_toggle(self):
        side = self.rng.choice(self.sides)
        if side.monitor:
            self.api.delete(f"healthmonitors/{side.monitor}")
            side.monitor = None
        else:
            side.monitor = self.stage.monitor(side.pools[0], type=self.rng.choice(side.monitors), timeout=5, max_retries_down=3)["id"]

    def monitor_edit(self):
        side = self.rng.choice(self.sides)
        if side.monitor:
            self.api.update(f"healthmonitors/{side.monitor}", "healthmonitor", delay=self.rng.randint(1, 5), max_retries=self.rng.randint(1, 5))

    # -- TLS

    def tls_certificate(self):
        """Other content in the same place."""
        pair = self.rng.choice(self.pairs)
        self.api.update(f"certificates/{self.certificates[0]}", "certificate", certificate=pair.chain, private_key=pair.key)

    def tls_default(self):
        """QUIC listeners take RSA alone."""
        side = self.rng.choice([self.secure, self.quic])
        side.front.edit(default_tls_container_ref=self.rng.choice(self.certificates[:2] if side is self.quic else self.certificates))

    def tls_names(self):
        self.rng.choice([self.secure, self.quic]).front.edit(sni_container_refs=self.rng.sample(self.names, self.rng.randint(0, 3)))

    def tls_security(self):
        versions = self.rng.choice([["TLSv1.2"], ["TLSv1.3"], ["TLSv1.2", "TLSv1.3"]])
        ciphers = (SUITES if "TLSv1.2" in versions else []) + (["TLS_AES_128_GCM_SHA256"] if "TLSv1.3" in versions else [])
        self.api.update(f"security-policies/{self.security}", "security_policy", protocols=versions, ciphers=ciphers)

    def tls_http2(self):
        """For connections to come; those of HTTP/2 that are there stay."""
        self.secure.front.edit(http2_enable=self.rng.random() < 0.5)

    # -- who may connect

    def access_list(self):
        kind = self.rng.choice(list(self.groups))
        ours = [{"ip": "127.0.0.0/8"}] if kind == "white" else []
        others = [{"ip": f"10.{self.rng.randrange(256)}.0.0/16"} for _ in range(self.rng.randint(0, 5))]
        self.api.update(f"ipgroups/{self.groups[kind]}", "ipgroup", ip_list=ours + list({one["ip"]: one for one in others}.values()))

    def access_of_a_listener(self):
        kind = self.rng.choice(list(self.groups))
        self.rng.choice(self.sides).front.edit(ipgroup={"ipgroup_id": self.groups[kind], "type": kind, "enable_ipgroup": self.rng.random() < 0.8})

    # -- neighbours

    def other_come(self):
        """A listener on our load balancer or on another."""
        protocol = self.rng.choice(["HTTP", "TCP", "UDP", "HTTPS", "QUIC", "TLS"])
        fields = {"default_tls_container_ref": self.certificates[0]} if protocol in ("HTTPS", "QUIC", "TLS") else {}
        same = self.lb if self.rng.random() < 0.5 else None
        pool = {"protocol": {"HTTPS": "HTTP", "QUIC": "HTTP", "TLS": "TCP"}.get(protocol, protocol), **({"ip_version": "v4"} if protocol == "TLS" else {})}
        self.others.append(self.stage.front(self.web.steady[:1], protocol=protocol, listener=fields, pool=pool, load_balancer=same))

    def other_go(self):
        if self.others:
            gone = self.others.pop(self.rng.randrange(len(self.others)))
            if gone.load_balancer["id"] == self.lb["id"]:
                self.api.delete(f"listeners/{gone.listener['id']}/force")
            else:
                self.api.delete(f"loadbalancers/{gone.load_balancer['id']}/force-elb")

    def other_off(self):
        far = [one for one in self.others if one.load_balancer["id"] != self.lb["id"]]
        if far:
            self.api.update(f"loadbalancers/{self.rng.choice(far).load_balancer['id']}", "loadbalancer", admin_state_up=self.rng.random() < 0.5)

    # -- the load balancer itself

    def balancer_words(self):
        self.api.update(f"loadbalancers/{self.lb['id']}", "loadbalancer", name=f"n{self._number()}", description="edited")

    def balancer_bandwidth(self):
        self.api.update(f"loadbalancers/{self.lb['id']}", "loadbalancer", bandwidth=self.rng.choice([0, 1_000_000]))

    def balancer_log(self):
        """Its access log comes and goes."""
        if self.log:
            self.api.delete(f"logtanks/{self.log}")
            self.log = None
        else:
            self.log = self.api.create("logtanks", "logtank", loadbalancer_id=self.lb["id"], log_group_id="g", log_topic_id="t")["id"]

    def malformed(self):
        """What a member could not read as a request."""
        return [problem for server in self.servers if isinstance(server, HttpMember) for problem in server.malformed]
