"""A listener with forwarding policies: pools named by letters, each with a member of that name."""

from harness.http_member import HttpMember


def rule(type, *values, compare="EQUAL_TO", key=None):
    """A rule; several values are alternatives."""
    named = {"key": key} if key else {}
    several = {"conditions": [{**named, "value": value} for value in values]} if len(values) > 1 else {}
    return {"type": type, "compare_type": compare, "value": values[0], **named, **several}


def path(value, compare="EQUAL_TO"):
    """A rule about the path."""
    return rule("PATH", value, compare=compare)


def host(value, compare="EQUAL_TO"):
    """A rule about the domain."""
    return rule("HOST_NAME", value, compare=compare)


class Site:
    """Answers with the letter of the pool that a request went to; "default" is the listener's own. A context manager."""

    def __init__(self, stage, *, advanced=True, pools="abc", listener=None, front=None):
        self.stage, self.api = stage, stage.api
        self.members = {name: HttpMember(name) for name in ("default", *pools)}
        self.front = (front or stage.front)([self.members["default"]], listener={"enhance_l7policy_enable": advanced, **(listener or {})})
        self.pools = {name: self._pool(self.members[name]) for name in pools}

    def _pool(self, member):
        lb = self.front.load_balancer["id"]
        made = self.api.create("pools", "pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.api.create(f"pools/{made['id']}/members", "member", address=member.address, protocol_port=member.port, subnet_cidr_id=self.stage.subnet)
        return made["id"]

    def policy(self, *rules, **fields):
        """Any policy."""
        return self.api.create("l7policies", "l7policy", listener_id=self.front.listener["id"], **({"rules": list(rules)} if rules else {}), **fields)

    def to(self, pool, *rules, **fields):
        """A policy that sends to that pool."""
        return self.policy(*rules, action="REDIRECT_TO_POOL", redirect_pool_id=self.pools[pool], **fields)

    def extended(self, pool, *rules, **extend):
        """The same with extras (fields of redirect_pools_extend_config)."""
        return self.to(pool, *rules, redirect_pools_extend_config=extend)

    def drop(self, policy):
        """Removes a policy."""
        self.api.delete(f"l7policies/{policy['id']}")

    def answers(self, target="/", **options):
        """Which pool's member answers."""
        return self.front.get(target, **options).body.decode()

    def seen(self, pool, target="/", **options):
        """The request as the member of that pool got it."""
        answer = self.front.get(target, **options)
        assert answer.member == pool, answer
        return self.members[pool].requests[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members.values():
            member.stop()
