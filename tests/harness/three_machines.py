"""A client, a node, and a member whose answers to anybody go by the node: three machines with addresses of both families. Needs root."""

import dataclasses

from harness import config
from harness.fulcrum import Fulcrum
from harness.netns import Machine, cable
from harness.stage import Stage

CLIENT, VIP, NODE, MEMBER = "192.0.2.9", "10.203.1.1", "10.203.2.1", "10.203.2.2"
CLIENT6, VIP6, NODE6, MEMBER6 = "2001:db8::9", "fd00:203::1:1", "fd00:203::2:1", "fd00:203::2:2"
SUBNETS = [{"name": "default", "cidr": "10.203.0.0/16", "gateway": "10.203.0.1"}, {"name": "six", "cidr": "fd00:203::/64", "gateway": "fd00:203::2:1"}]


class Place:
    """The three machines; `front` builds on the node, `client` and `member` say where something runs."""

    def __init__(self, directory, **dataplane):
        self.machines = self.client, self.node, self.member = [Machine(role) for role in ("client", "node", "member")]
        cable(self.client, f"{CLIENT}/24", self.node, "192.0.2.1/24")
        cable(self.member, f"{MEMBER}/24", self.node, f"{NODE}/24")
        for machine, interface, address in ((self.client, "to-node", f"{CLIENT6}/64"), (self.node, "to-client", "2001:db8::1/64"),
                                            (self.member, "to-node", f"{MEMBER6}/112"), (self.node, "to-member", f"{NODE6}/112"),
                                            (self.node, "lo", f"{VIP6}/128")):
            machine.ip("address", "add", address, "dev", interface, "nodad")
        self.node.ip("address", "add", f"{VIP}/32", "dev", "lo")
        self.client.ip("route", "add", "10.203.1.0/24", "via", "192.0.2.1")
        self.client.ip("route", "add", "fd00:203::1:0/112", "via", "2001:db8::1")
        for family, gateway, everything in (("-4", NODE, "0.0.0.0/0"), ("-6", NODE6, "::/0")):
            self.member.ip(family, "route", "add", "default", "via", gateway)
            # What comes back from members is the node's own, whomever it is addressed to.
            self.node.ip(family, "rule", "add", "iif", "to-member", "lookup", "100")
            self.node.ip(family, "route", "add", "local", everything, "dev", "lo", "table", "100")
        network = {"networks": [{"name": "default", "subnets": SUBNETS}]}
        self.fulcrum = Fulcrum(directory, config=config.merged(network, {"dataplane": dataplane}))
        with self.node.inside():
            self.stage = Stage(self.fulcrum.start())
            subnets = self.stage.api.request("GET", f"/v1/{self.stage.api.project_id}/subnets").json["subnets"]
        self.subnet6 = next(one["neutron_network_id"] for one in subnets if one["name"] == "six")

    def front(self, members, **options):
        """A listener on the node, with its VIP of IPv4."""
        with self.node.inside():
            return self.stage.front(members, load_balancer=self.stage.load_balancer(vip_address=VIP), **options)

    def front6(self, members, *, pool=None, **options):
        """A listener on the node, with its VIP of IPv6, before members of either family."""
        with self.node.inside():
            made = self.stage.load_balancer(ipv6_vip_virsubnet_id=self.subnet6, ipv6_vip_address=VIP6)
            front = self.stage.front(load_balancer=made, pool={"ip_version": "dualstack", **(pool or {})}, **options)
            for member in members:
                subnet = self.subnet6 if ":" in member.address else self.stage.subnet
                front.add(member, subnet=subnet)
        return dataclasses.replace(front, where=(VIP6, front.where[1]))

    def stop(self):
        """Takes everything away."""
        self.fulcrum.stop()
        for machine in self.machines:
            machine.remove()
