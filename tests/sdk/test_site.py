"""What a site offers: flavors, zones, quotas, versions, networks."""

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import config
from harness.api import Api


@pytest.mark.covers("ListFlavors", "ShowFlavor")
def test_flavors_of_both_layers_with_their_limits(elb):
    flavors = elb.list("ListFlavors").flavors
    by_name = {flavor.name: flavor for flavor in flavors}
    small = by_name["L7_flavor.elb.s1.small"]
    assert (small.type, small.shared, small.info.connection, small.info.cps, small.info.qps) == ("L7", True, 200_000, 2_000, 4_000)
    large = by_name["L4_flavor.elb.s2.large"]
    assert (large.type, large.info.connection, large.info.cps, large.info.lcu) == ("L4", 20_000_000, 400_000, 400)
    assert elb.call("ShowFlavor", flavor_id=small.id).flavor.to_dict() == small.to_dict()
    with pytest.raises(ClientRequestException) as refused:
        elb.call("ShowFlavor", flavor_id="00000000-0000-4000-8000-000000000000")
    assert (refused.value.status_code, refused.value.error_code) == (404, "ELB.8904")
    assert all(flavor.type == "L4" for flavor in elb.list("ListFlavors", type=["L4"]).flavors)


@pytest.mark.covers("ListAvailabilityZones")
def test_zones_are_sets_of_active_zones(elb, api, stage):
    sets = elb.call("ListAvailabilityZones").availability_zones
    assert sets and sets[0]
    assert {zone.state for zones in sets for zone in zones} == {"ACTIVE"}
    lb = stage.load_balancer()
    assert api.list("availability-zones", "availability_zones", loadbalancer_id=lb["id"])
    reply = api.elb("POST", "loadbalancers", {"loadbalancer": {"vip_subnet_cidr_id": stage.subnet, "availability_zone_list": ["no-such-zone"]}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "availability_zone_list" in reply.message


@pytest.mark.covers("ListApiVersions")
def test_versions(elb):
    found = {version.id: version.status for version in elb.call("ListApiVersions").versions}
    assert found["v3"] == "CURRENT"


@pytest.mark.covers("ShowQuota", "ListQuotaDetails")
def test_default_quotas(start):
    from harness.sdk import by_key
    elb = by_key(start())
    quota = elb.call("ShowQuota").quota
    assert (quota.loadbalancer, quota.listener, quota.pool, quota.member, quota.members_per_pool) == (50, 100, 500, 500, 500)
    assert (quota.certificate, quota.l7policy, quota.ipgroup_max_length) == (120, 500, 300)
    details = {item.quota_key: item for item in elb.list("ListQuotaDetails").quotas}
    assert {key: item.quota_limit for key, item in details.items() if hasattr(quota, key)} == {key: getattr(quota, key) for key in details}
    assert details["loadbalancer"].unit == "count"


@pytest.mark.covers("ListQuotaDetails")
def test_usage_follows_what_exists(elb, api, stage):
    def used():
        return {item.quota_key: item.used for item in elb.list("ListQuotaDetails", quota_key=["loadbalancer", "listener", "pool"]).quotas}
    before = used()
    assert set(before) == {"loadbalancer", "listener", "pool"}
    front = stage.front()
    assert used() == {key: count + 1 for key, count in before.items()}
    api.delete(f"loadbalancers/{front.load_balancer['id']}/force-elb")
    assert used() == before


def test_quotas_stop_each_noun_at_its_limit(start):
    from harness.stage import Stage
    stage = Stage(start(config=config.quotas(loadbalancer=2, listener=1, pool=1, member=3, members_per_pool=2, healthmonitor=0)))
    api = stage.api
    front = stage.front()
    stage.load_balancer()
    lb, pool = front.load_balancer["id"], front.pool["id"]
    member = {"protocol_port": 80, "subnet_cidr_id": stage.subnet}
    for last in (1, 2):
        api.create(f"pools/{pool}/members", "member", address=f"127.88.250.{last}", **member)
    refused = [
        ("loadbalancers", {"loadbalancer": {"vip_subnet_cidr_id": stage.subnet, "availability_zone_list": [stage.zone]}}, "loadbalancer"),
        ("listeners", {"listener": {"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 9}}, "listener"),
        ("pools", {"pool": {"loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}, "pool"),
        (f"pools/{pool}/members", {"member": {"address": "127.88.250.3", **member}}, "members_per_pool"),
        (f"pools/{pool}/members/batch-add", {"members": [{"address": "127.88.250.4", **member}]}, "members_per_pool"),
        ("healthmonitors", {"healthmonitor": {"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3}}, "healthmonitor"),
    ]
    for path, body, key in refused:
        reply = api.elb("POST", path, body)
        assert (reply.status, reply.code) == (409, "ELB.8905"), (path, reply.text)
        assert key in reply.message, "it says which quota"
    api.delete(f"loadbalancers/{lb}/force-elb")
    stage.front()


def test_a_quota_of_members_counts_over_all_pools(start):
    from harness.stage import Stage
    stage = Stage(start(config=config.quotas(member=1)))
    first, second = stage.front(), stage.front()
    member = {"address": "127.88.250.1", "protocol_port": 80, "subnet_cidr_id": stage.subnet}
    stage.api.create(f"pools/{first.pool['id']}/members", "member", **member)
    reply = stage.api.elb("POST", f"pools/{second.pool['id']}/members", {"member": member})
    assert (reply.status, reply.code) == (409, "ELB.8905")


def test_quotas_of_layer_7_stop_each_noun_at_its_limit(start):
    from harness import pki
    from harness.stage import Stage
    stage = Stage(start(config=config.quotas(certificate=1, security_policy=1, ipgroup=2, l7policy=2, l7policies_per_listener=1,
                                             ipgroups_per_listener=1, ipgroup_bindings=1)))
    api, lb = stage.api, stage.load_balancer()["id"]
    stage.certificate()
    security = {"protocols": ["TLSv1.2"], "ciphers": ["AES128-SHA"]}
    stage.beside("security-policies", "security_policy", **security)
    groups = [stage.beside("ipgroups", "ipgroup", ip_list=[])["id"] for _ in range(2)]
    listeners = [api.create("listeners", "listener", loadbalancer_id=lb, protocol="HTTP", protocol_port=port, enhance_l7policy_enable=True,
                            **({"ipgroup": {"ipgroup_id": groups[0]}} if port == 80 else {}))["id"] for port in (80, 81, 82)]
    policy = {"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "200"}}
    api.create("l7policies", "l7policy", listener_id=listeners[0], **policy)
    refused = [
        ("POST", "certificates", {"certificate": {"certificate": pki.pair("a.com").chain, "private_key": pki.pair("a.com").key}}, "certificate"),
        ("POST", "security-policies", {"security_policy": security}, "security_policy"),
        ("POST", "ipgroups", {"ipgroup": {"ip_list": []}}, "ipgroup"),
        ("POST", "l7policies", {"l7policy": {"listener_id": listeners[0], **policy}}, "l7policies_per_listener"),
        ("PUT", f"listeners/{listeners[1]}", {"listener": {"ipgroup": {"ipgroup_id": groups[0]}}}, "ipgroup_bindings"),
        ("PUT", f"listeners/{listeners[0]}", {"listener": {"ipgroup": {"ipgroup_id": ",".join(groups)}}}, "ipgroups_per_listener"),
    ]
    for method, path, body, key in refused:
        reply = api.elb(method, path, body)
        assert (reply.status, reply.code) == (409, "ELB.8905"), (path, reply.text)
        assert key in reply.message, "it says which quota"
    api.create("l7policies", "l7policy", listener_id=listeners[1], **policy)
    reply = api.elb("POST", "l7policies", {"l7policy": {"listener_id": listeners[2], **policy}})
    assert (reply.status, reply.code) == (409, "ELB.8905") and "l7policy" in reply.message
    used = {item["quota_key"]: item["used"] for item in api.list("quotas/details", "quotas")}
    assert {key: used[key] for key in ("certificate", "security_policy", "ipgroup", "l7policy")} == {
        "certificate": 1, "security_policy": 1, "ipgroup": 2, "l7policy": 2}


def test_networks_have_the_ids_that_the_credentials_name(fulcrum, api, stage):
    project = api.project_id
    vpcs = api.request("GET", f"/v1/{project}/vpcs").json["vpcs"]
    assert stage.vpc in [vpc["id"] for vpc in vpcs]
    default = next(vpc for vpc in vpcs if vpc["id"] == stage.vpc)
    assert (default["name"], default["status"]) == ("default", "OK")
    subnets = api.request("GET", f"/v1/{project}/subnets").json["subnets"]
    default = next(subnet for subnet in subnets if subnet["neutron_subnet_id"] == stage.subnet)
    assert (default["name"], default["cidr"], default["vpc_id"]) == ("default", "127.88.0.0/16", stage.vpc)
    assert api.request("GET", f"/v1/{project}/subnets", query={"vpc_id": "00000000-0000-4000-8000-000000000000"}).json["subnets"] == []
    other = Api.account(fulcrum, config.SECOND_TENANT)
    assert api.request("GET", f"/v1/{other.project_id}/vpcs").status == 403
    assert Api(fulcrum.endpoint, project).request("GET", f"/v1/{project}/vpcs").status == 401


@pytest.mark.parametrize("path", ["/nowhere", "/v3/PROJECT/elb/nowhere", "/v3/PROJECT/elb"])
def test_an_unknown_address_is_404(api, path):
    reply = api.request("GET", path.replace("PROJECT", api.project_id))
    assert reply.status == 404, reply.text


def test_a_method_that_an_address_does_not_have_is_405(api):
    reply = api.elb("PATCH", "loadbalancers")
    assert reply.status == 405 and reply.code


def test_health_of_the_process_needs_no_credentials(fulcrum):
    nobody = Api(fulcrum.endpoint, None)
    assert nobody.request("GET", "/healthz").status == 200
    assert nobody.request("GET", "/readyz").status == 200
