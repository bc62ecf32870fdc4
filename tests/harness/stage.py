"""Load balancers for a test, with all that belongs to them; taken down at its end."""

from dataclasses import dataclass, field

from harness import pki
from harness.api import Api
from harness.http1 import Connection, get
from harness.ports import listener_port
from harness.wait import eventually


class Stage:
    """Builds on one process; `close` removes what it built."""

    def __init__(self, fulcrum):
        self.fulcrum = fulcrum
        self.api = Api.admin(fulcrum)
        self.subnet = fulcrum.credentials["subnet_id"]
        self.vpc = fulcrum.credentials["vpc_id"]
        self.zone = self.api.list("availability-zones", "availability_zones")[0][0]["code"]
        self._built = []
        self._beside = []

    def load_balancer(self, **fields):
        """A load balancer with a VIP of the default subnet."""
        fields = {"availability_zone_list": [self.zone], "vip_subnet_cidr_id": self.subnet, **fields}
        made = self.api.create("loadbalancers", "loadbalancer", **{name: value for name, value in fields.items() if value is not None})
        return self.remember(made["id"]) and made

    def remember(self, id):
        """A load balancer that the test made itself; it goes with the others."""
        self._built.append(id)
        return id

    def certificate(self, *names, kind="ECDSA", **fields):
        """A server certificate for those names; `domain` is given to the API only when said."""
        names = names or ("site.example.com",)
        pair = pki.pair(*names, kind=kind)
        return self.beside("certificates", "certificate", **{"certificate": pair.chain, "private_key": pair.key, **fields})

    def beside(self, path, noun, **fields):
        """A certificate, IP group or security policy: what outlives load balancers."""
        made = self.api.create(path, noun, **fields)
        return self.remember_beside(path, made["id"]) and made

    def remember_beside(self, path, id):
        """One that the test made itself; it goes after the load balancers."""
        self._beside.append(f"{path}/{id}")
        return id

    def front(self, members=(), *, protocol="HTTP", listener=None, pool=None, monitor=None, load_balancer=None, weights=None):
        """A listener with a default pool of these members; a monitor when given its fields."""
        lb = load_balancer or self.load_balancer()
        port = listener_port()
        made = self.api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol=protocol, protocol_port=port, **(listener or {}))
        pool_fields = {"lb_algorithm": "ROUND_ROBIN", "protocol": protocol, "listener_id": made["id"], **(pool or {})}
        front = Front(self, lb, made, self.api.create("pools", "pool", **pool_fields), (lb["vip_address"], port))
        if monitor:
            front.monitor = self.monitor(front.pool["id"], **monitor)
        for number, member in enumerate(members):
            front.add(member, weight=(weights or {}).get(number, 1))
        return front

    def secure(self, members=(), *, certificate=None, listener=None, pool=None, **options):
        """`front` with TLS: an HTTPS listener, by default with a certificate for site.example.com, and an HTTP pool."""
        fields = {"default_tls_container_ref": (certificate or self.certificate())["id"], **(listener or {})}
        return self.front(members, protocol="HTTPS", listener=fields, pool={"protocol": "HTTP", **(pool or {})}, **options)

    def standby(self, master, slave, *, protocol="TCP", listener=None, monitor=None, load_balancer=None, **pool):
        """`front` before an active/standby pool of those two, with its monitor."""
        lb = load_balancer or self.load_balancer()
        port = listener_port()
        made = self.api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol=protocol, protocol_port=port, **(listener or {}))
        members = [{"name": one.name, "address": one.address, "protocol_port": one.port, "subnet_cidr_id": self.subnet, "role": role}
                   for one, role in ((master, "master"), (slave, "slave"))]
        watch = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1, **(monitor or {})}
        group = self.api.create("master-slave-pools", "pool", listener_id=made["id"], type="instance", vpc_id=self.vpc, protocol=protocol,
                                lb_algorithm="ROUND_ROBIN", members=members, healthmonitor=watch, **pool)
        return Front(self, lb, made, group, (lb["vip_address"], port), group["healthmonitor"], {one["name"]: one["id"] for one in group["members"]})

    def monitor(self, pool_id, **fields):
        """A health monitor that is quick to see: every second, one failure is enough."""
        fields = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1, **fields}
        return self.api.create("healthmonitors", "healthmonitor", pool_id=pool_id, **fields)

    def close(self):
        """Everything goes, whatever state it is in."""
        for id in reversed(self._built):
            reply = self.api.elb("PUT", f"loadbalancers/{id}", {"loadbalancer": {"deletion_protection_enable": False}})
            if reply.status == 404:
                continue
            for pool in self.api.list("pools", "pools", loadbalancer_id=id):
                if pool.get("member_deletion_protection_enable"):
                    self.api.update(f"pools/{pool['id']}", "pool", member_deletion_protection_enable=False)
            self.api.delete(f"loadbalancers/{id}/force-elb")
        for path in reversed(self._beside):
            self.api.elb("DELETE", path)


@dataclass
class Front:
    """A listener, where it is reached, and what is behind it."""
    stage: Stage
    load_balancer: dict
    listener: dict
    pool: dict
    where: tuple
    monitor: dict = None
    members: dict = field(default_factory=dict)

    @property
    def url(self):
        """For curl and WebSocket clients, without the scheme."""
        return f"{self.where[0]}:{self.where[1]}"

    def add(self, member, *, weight=1, subnet=None):
        """Puts a server (harness.members) into the pool, with the default subnet or this one; answers the member's id."""
        made = self.stage.api.create(f"pools/{self.pool['id']}/members", "member", address=member.address, name=member.name,
                                     protocol_port=member.port, subnet_cidr_id=subnet or self.stage.subnet, weight=weight)
        self.members[member.name] = made["id"]
        return made["id"]

    def remove(self, member):
        """Takes a server out."""
        self.stage.api.delete(f"pools/{self.pool['id']}/members/{self.members.pop(member.name)}")

    def weigh(self, member, weight):
        """Changes a server's weight."""
        return self.stage.api.update(f"pools/{self.pool['id']}/members/{self.members[member.name]}", "member", weight=weight)

    def status(self, member):
        """The member as the API shows it."""
        if "healthmonitor" in self.pool:  # active/standby: the members are shown with their pool alone
            shown = self.stage.api.show(f"master-slave-pools/{self.pool['id']}", "pool")["members"]
            return next(one for one in shown if one["name"] == member.name)
        return self.stage.api.show(f"pools/{self.pool['id']}/members/{self.members[member.name]}", "member")

    def wait_status(self, member, status, *, within=15):
        """Until the API shows that operating status; answers the member."""
        def reached():
            seen = self.status(member)
            return seen if seen["operating_status"] == status else None
        return eventually(reached, within=within, what=f"{member.name} is {status}")

    def edit(self, **fields):
        """Changes the listener."""
        return self.stage.api.update(f"listeners/{self.listener['id']}", "listener", **fields)

    def edit_pool(self, **fields):
        """Changes the pool."""
        return self.stage.api.update(f"pools/{self.pool['id']}", "pool", **fields)

    def connect(self, **options):
        """A client connection."""
        return Connection(self.where, **options)

    def get(self, target="/", **options):
        """One request on a connection of its own."""
        return get(self.where, target, **options)

    def names(self, count, **options):
        """Which member answered each of `count` requests, each on a connection of its own."""
        return [self.get(**options).body.decode() for _ in range(count)]
