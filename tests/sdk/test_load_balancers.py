"""Load balancers through the vendor's client."""

import re

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkelb import v3

from harness.http1 import get
from harness.ports import listener_port


@pytest.mark.covers("CreateLoadBalancer", "ShowLoadBalancer", "DeleteLoadBalancer")
def test_a_new_load_balancer_has_the_documented_defaults(elb, stage):
    made = elb.create("LoadBalancer", name="first", vip_subnet_cidr_id=stage.subnet, availability_zone_list=[stage.zone])
    shown = elb.show("LoadBalancer", made.id)
    assert shown.to_dict() == made.to_dict()
    expected = {
        "name": "first", "description": "", "provider": "vlb", "admin_state_up": True, "guaranteed": True,
        "provisioning_status": "ACTIVE", "operating_status": "ONLINE", "vpc_id": stage.vpc, "vip_subnet_cidr_id": stage.subnet,
        "listeners": [], "pools": [], "tags": [], "eips": [], "publicips": [], "global_eips": [],
        "enterprise_project_id": "0", "ip_target_enable": False, "deletion_protection_enable": False,
        "protection_status": "nonProtection", "protection_reason": "", "waf_failure_action": "forward",
        "availability_zone_list": [stage.zone], "frozen_scene": None, "billing_info": None,
        "l4_scale_flavor_id": None, "l7_scale_flavor_id": None, "ipv6_vip_address": None, "project_id": stage.api.project_id,
    }
    assert {key: getattr(shown, key) for key in expected} == expected
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", shown.id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown.created_at)
    assert re.fullmatch(r"127\.88\.\d+\.\d+", shown.vip_address)
    assert shown.vip_port_id
    assert shown.l4_flavor_id and shown.l7_flavor_id, "with no flavor asked, the site's default ones"
    elb.delete("LoadBalancer", made.id)
    with pytest.raises(ClientRequestException) as refused:
        elb.show("LoadBalancer", made.id)
    assert (refused.value.status_code, refused.value.error_code) == (404, "ELB.8904")
    assert refused.value.request_id


@pytest.mark.covers("CreateLoadBalancer", "CreateListener", "CreatePool", "CreateMember", "CreateHealthMonitor", "DeleteLoadBalancerForce")
def test_with_nothing_but_the_vendors_client_traffic_flows(elb, member, stage):
    server = member("only")
    zones = elb.call("ListAvailabilityZones").availability_zones
    lb = elb.create("LoadBalancer", name="web", vip_subnet_cidr_id=stage.subnet, availability_zone_list=[zones[0][0].code])
    port = listener_port()
    listener = elb.create("Listener", name="http", loadbalancer_id=lb.id, protocol="HTTP", protocol_port=port)
    pool = elb.create("Pool", name="servers", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    elb.create("Member", of=pool.id, address=server.address, protocol_port=server.port, subnet_cidr_id=stage.subnet)
    # answered means applied: no waiting before the first request
    assert get((lb.vip_address, port)).body == b"only"
    elb.create("HealthMonitor", pool_id=pool.id, type="HTTP", delay=1, timeout=1, max_retries=1)
    elb.call("DeleteLoadBalancerForce", loadbalancer_id=lb.id)
    with pytest.raises(ConnectionError):
        get((lb.vip_address, port))


@pytest.mark.covers("UpdateLoadBalancer")
def test_an_update_changes_what_it_names_and_nothing_else(elb, stage):
    made = stage.load_balancer(name="before", description="kept")
    changed = elb.update("LoadBalancer", made["id"], name="after", admin_state_up=False)
    assert (changed.name, changed.admin_state_up, changed.description) == ("after", False, "kept")
    assert changed.vip_address == made["vip_address"] and changed.created_at == made["created_at"]
    assert elb.show("LoadBalancer", made["id"]).name == "after"


@pytest.mark.covers("CreateLoadBalancer")
def test_a_wanted_address_is_given_once(elb, stage):
    wanted = "127.88.77.7"
    first = stage.load_balancer(vip_address=wanted)
    assert first["vip_address"] == wanted
    with pytest.raises(ClientRequestException) as refused:
        elb.create("LoadBalancer", vip_subnet_cidr_id=stage.subnet, vip_address=wanted, availability_zone_list=[stage.zone])
    assert (refused.value.status_code, refused.value.error_code) == (409, "ELB.8907")
    elb.delete("LoadBalancer", first["id"])
    assert stage.load_balancer(vip_address=wanted)["vip_address"] == wanted, "a freed address can be taken again"


def test_a_load_balancer_without_a_subnet_has_no_address(api, stage):
    made = stage.load_balancer(vip_subnet_cidr_id=None, vpc_id=stage.vpc)
    assert (made["vip_address"], made["vip_subnet_cidr_id"], made["vip_port_id"]) == (None, None, None)
    bound = api.update(f"loadbalancers/{made['id']}", "loadbalancer", vip_subnet_cidr_id=stage.subnet)
    assert bound["vip_address"].startswith("127.88.")
    freed = api.update(f"loadbalancers/{made['id']}", "loadbalancer", vip_subnet_cidr_id=None)
    assert freed["vip_address"] is None


def test_names_need_not_be_unique_and_may_be_any_text(elb, stage):
    for name in ("same", "same", "", "負載均衡 ünï <b>", "x" * 255):
        made = stage.load_balancer(name=name)
        assert elb.show("LoadBalancer", made["id"]).name == name


def test_protection_reason_lives_as_long_as_the_mark(api, stage):
    made = stage.load_balancer(protection_status="consoleProtection", protection_reason="in use by sales")
    assert made["protection_reason"] == "in use by sales"
    path = f"loadbalancers/{made['id']}"
    assert api.update(path, "loadbalancer", name="still editable")["name"] == "still editable", "only consoles honour the mark"
    cleared = api.update(path, "loadbalancer", protection_status="nonProtection")
    assert (cleared["protection_status"], cleared["protection_reason"]) == ("nonProtection", "")
    refused = api.elb("PUT", path, {"loadbalancer": {"protection_reason": "why"}})
    assert (refused.status, refused.code) == (400, "ELB.8902")


@pytest.mark.covers("DeleteLoadBalancer", "DeleteLoadBalancerForce", "DeleteLoadBalancerCascade")
def test_deletion_protection_blocks_every_way_of_deleting(elb, api, stage):
    made = stage.load_balancer(deletion_protection_enable=True)
    ways = [("DeleteLoadBalancer", {}), ("DeleteLoadBalancerForce", {}),
            ("DeleteLoadBalancerCascade", {"body": v3.DeleteLoadBalancerCascadeRequestBody(v3.DeleteLoadBalancerCascadeOption())})]
    for operation, more in ways:
        with pytest.raises(ClientRequestException) as refused:
            elb.call(operation, loadbalancer_id=made["id"], **more)
        assert 400 <= refused.value.status_code < 500 and refused.value.status_code != 404, operation
        assert elb.show("LoadBalancer", made["id"]).id == made["id"]
    api.update(f"loadbalancers/{made['id']}", "loadbalancer", deletion_protection_enable=False)
    elb.delete("LoadBalancer", made["id"])


def test_a_load_balancer_with_listeners_is_in_use(elb, stage):
    front = stage.front()
    with pytest.raises(ClientRequestException) as refused:
        elb.delete("LoadBalancer", front.load_balancer["id"])
    assert (refused.value.status_code, refused.value.error_code) == (409, "ELB.8907")


@pytest.mark.covers("DeleteLoadBalancerForce")
def test_force_takes_all_that_is_its_own(elb, api, member, stage):
    front = stage.front([member()], monitor={"type": "TCP"})
    elb.call("DeleteLoadBalancerForce", loadbalancer_id=front.load_balancer["id"])
    for path in (f"loadbalancers/{front.load_balancer['id']}", f"listeners/{front.listener['id']}", f"pools/{front.pool['id']}",
                 f"healthmonitors/{front.monitor['id']}"):
        assert api.elb("GET", path).status == 404, path
    assert api.list("members", "members", pool_id=front.pool["id"]) == []


def shared_pool(stage):
    """Two load balancers whose listeners use one pool of the reusable kind; answers both fronts' ids."""
    lbs = [stage.load_balancer(), stage.load_balancer()]
    pool = stage.api.create("pools", "pool", type="instance", vpc_id=stage.vpc, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    for lb in lbs:
        stage.api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=listener_port(), default_pool_id=pool["id"])
    return lbs, pool


def test_force_only_unbinds_a_pool_that_another_load_balancer_uses(api, stage):
    (first, second), pool = shared_pool(stage)
    api.delete(f"loadbalancers/{first['id']}/force-elb")
    assert [lb["id"] for lb in api.show(f"pools/{pool['id']}", "pool")["loadbalancers"]] == [second["id"]]
    api.delete(f"loadbalancers/{second['id']}/force-elb")
    assert api.elb("GET", f"pools/{pool['id']}").status == 404


@pytest.mark.covers("DeleteLoadBalancerCascade")
@pytest.mark.parametrize("unbounded, left", [(True, 404), (False, 200), (None, 404)])
def test_cascade_deletes_or_unbinds_pools_as_asked(elb, api, stage, unbounded, left):
    lb = stage.load_balancer()
    pool = api.create("pools", "pool", type="instance", vpc_id=stage.vpc, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80, default_pool_id=pool["id"])
    option = v3.DeleteLoadBalancerCascadeOption(unbounded_pool=unbounded)
    elb.call("DeleteLoadBalancerCascade", loadbalancer_id=lb["id"], body=v3.DeleteLoadBalancerCascadeRequestBody(option))
    assert api.elb("GET", f"loadbalancers/{lb['id']}").status == 404
    reply = api.elb("GET", f"pools/{pool['id']}")
    assert reply.status == left
    if left == 200:
        assert (reply.json["pool"]["loadbalancers"], reply.json["pool"]["listeners"]) == ([], [])
        api.delete(f"pools/{pool['id']}")


def test_member_protection_stops_force_and_cascade_whole(api, member, stage):
    front = stage.front([member()], pool={"member_deletion_protection_enable": True})
    path = f"loadbalancers/{front.load_balancer['id']}"
    for method, how, body in (("DELETE", "force-elb", {}), ("POST", "delete-cascade", {"loadbalancer": {}})):
        reply = api.elb(method, f"{path}/{how}", body)
        assert 400 <= reply.status < 500 and reply.status != 404, reply.text
        assert api.elb("GET", f"listeners/{front.listener['id']}").status == 200, "nothing changed"
    api.update(f"pools/{front.pool['id']}", "pool", member_deletion_protection_enable=False)


def test_layers_without_a_flavor_take_no_listeners(api, stage):
    l7 = api.list("flavors", "flavors", type="L7")[0]["id"]
    only_l7 = stage.load_balancer(l7_flavor_id=l7)
    assert only_l7["l4_flavor_id"] is None
    refused = api.elb("POST", "listeners", {"listener": {"loadbalancer_id": only_l7["id"], "protocol": "TCP", "protocol_port": 80}})
    assert refused.status == 400, refused.text
    api.create("listeners", "listener", loadbalancer_id=only_l7["id"], protocol="HTTP", protocol_port=80)


def test_admin_state_down_stops_traffic_and_up_starts_it(elb, member, stage):
    front = stage.front([member("a")])
    assert front.get().body == b"a"
    elb.update("LoadBalancer", front.load_balancer["id"], admin_state_up=False)
    with pytest.raises(ConnectionError):
        front.get()
    elb.update("LoadBalancer", front.load_balancer["id"], admin_state_up=True)
    assert front.get().body == b"a"
