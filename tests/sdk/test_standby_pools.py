"""Active/standby pools (`master-slave-pools`) through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness.sdk import refused_with


def option(stage, *, roles=("master", "slave"), **fields):
    """A create's pool; `fields` are put over it."""
    members = [v3.CreateMasterSlaveMemberOption(name=role, address=f"127.88.250.{number}", protocol_port=80, subnet_cidr_id=stage.subnet, role=role)
               for number, role in enumerate(roles, 31)]
    monitor = v3.CreateMasterSlaveHealthMonitorOption(type="TCP", delay=50, timeout=2, max_retries=3)
    known = {"type": "instance", "vpc_id": stage.vpc, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members, "healthmonitor": monitor}
    return v3.CreateMasterSlavePoolOption(**{**known, **fields})


def create(elb, wanted):
    """Makes it; answers the pool."""
    return elb.call("CreateMasterSlavePool", body=v3.CreateMasterSlavePoolRequestBody(pool=wanted)).pool


@pytest.mark.covers("CreateMasterSlavePool", "ShowMasterSlavePool")
def test_pool_members_and_monitor_are_made_by_one_call(elb, stage):
    lb = stage.load_balancer()
    made = create(elb, option(stage, loadbalancer_id=lb["id"], name="pair", description="two of them"))
    assert elb.call("ShowMasterSlavePool", pool_id=made.id).pool.to_dict() == made.to_dict()
    assert (made.name, made.description, made.protocol, made.type, made.ip_version) == ("pair", "two of them", "TCP", "instance", "dualstack")
    assert [(one.role, one.address) for one in made.members] == [(one.name, one.address) for one in made.members], "each has the role it was given"
    assert {one.role for one in made.members} == {"master", "slave"}
    watch = made.healthmonitor
    assert (watch.type, watch.delay, watch.timeout, watch.max_retries, watch.max_retries_down) == ("TCP", 50, 2, 3, 3)
    assert [ref.id for ref in made.loadbalancers] == [lb["id"]] and made.listeners == []


@pytest.mark.covers("CreateMasterSlavePool")
def test_with_a_listener_it_is_that_listeners_pool(elb, stage):
    listener = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="TCP", protocol_port=80)
    made = create(elb, option(stage, listener_id=listener.id))
    assert elb.show("Listener", listener.id).default_pool_id == made.id
    assert [ref.id for ref in made.listeners] == [listener.id]


@pytest.mark.covers("ListMasterSlavePools")
def test_lists_keep_the_two_kinds_of_pools_apart(elb, stage):
    lb = stage.load_balancer()
    pair = create(elb, option(stage, loadbalancer_id=lb["id"]))
    ordinary = elb.create("Pool", loadbalancer_id=lb["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN")
    assert [pool.id for pool in elb.list("ListMasterSlavePools", loadbalancer_id=[lb["id"]]).pools] == [pair.id]
    assert [pool.id for pool in elb.list("ListPools", loadbalancer_id=[lb["id"]]).pools] == [ordinary.id]
    refused_with(404, "ELB.8904", elb.show, "Pool", pair.id)
    refused_with(404, "ELB.8904", elb.call, "ShowMasterSlavePool", pool_id=ordinary.id)


@pytest.mark.covers("DeleteMasterSlavePool")
def test_it_goes_with_its_members_and_its_monitor(elb, stage):
    listener = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="TCP", protocol_port=80)
    made = create(elb, option(stage, listener_id=listener.id))
    elb.call("DeleteMasterSlavePool", pool_id=made.id)
    refused_with(404, "ELB.8904", elb.call, "ShowMasterSlavePool", pool_id=made.id)
    refused_with(404, "ELB.8904", elb.show, "HealthMonitor", made.healthmonitor.id)
    assert elb.show("Listener", listener.id).default_pool_id is None


WRONG = [
    ("two masters", {"roles": ("master", "master")}),
    ("one member", {"roles": ("master",)}),
    ("three members", {"roles": ("master", "slave", "slave")}),
    ("no monitor", {"healthmonitor": None}),
    ("layer 7", {"protocol": "HTTP"}),
    ("no type", {"type": None}),
]


@pytest.mark.covers("CreateMasterSlavePool")
@pytest.mark.parametrize("wrong", [wrong for _, wrong in WRONG], ids=[why for why, _ in WRONG])
def test_a_pair_is_one_of_each_with_a_monitor(elb, stage, wrong):
    refused_with(400, "ELB.8902", create, elb, option(stage, loadbalancer_id=stage.load_balancer()["id"], **wrong))
