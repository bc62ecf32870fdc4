"""Every operation of data/operations.json: its status, the shape of its answer, and who may call it.

The list decides: an operation without a case here, or without a test that `covers` it, fails.
"""

import re
import uuid
from pathlib import Path

import pytest

from harness import config, pki
from harness.api import NO_BODY, Api
from harness.contract import OPERATIONS, mismatches

NO_REQUEST_ID = {"ListApiVersions", "ShowIpGroupRelatedListeners"}
OPEN = {"ListApiVersions"}
READS = {name for name, operation in OPERATIONS.items() if operation["method"] == "GET"}


@pytest.fixture
def world(stage):
    """One object of every noun; the ids by the names that paths use."""
    lb = stage.load_balancer(name="w", deletion_protection_enable=False)
    free = stage.load_balancer(name="free")
    api = stage.api
    listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=8080)
    free_listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=9090)
    pool = api.create("pools", "pool", listener_id=listener["id"], lb_algorithm="ROUND_ROBIN", protocol="HTTP")
    bare = api.create("pools", "pool", loadbalancer_id=lb["id"], lb_algorithm="ROUND_ROBIN", protocol="HTTP")
    member = api.create(f"pools/{pool['id']}/members", "member", address="127.88.250.9", protocol_port=1, subnet_cidr_id=stage.subnet)
    certificate = stage.certificate()
    used = stage.certificate("used.example.com")
    api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTPS", protocol_port=8443, default_tls_container_ref=used["id"])
    group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.0/8", "description": "inside"}])
    security = stage.beside("security-policies", "security_policy", protocols=["TLSv1.2"], ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256"])
    ordered = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=8082, enhance_l7policy_enable=True)
    policy = api.create("l7policies", "l7policy", listener_id=ordered["id"], action="FIXED_RESPONSE", fixed_response_config={"status_code": "418"})
    rule = api.create(f"l7policies/{policy['id']}/rules", "rule", type="PATH", compare_type="EQUAL_TO", value="/tea")
    log = api.create("logtanks", "logtank", loadbalancer_id=lb["id"], log_group_id="group", log_topic_id="topic")
    monitor = api.create("healthmonitors", "healthmonitor", pool_id=pool["id"], type="TCP", delay=50, timeout=1, max_retries=10)
    standby = api.create("master-slave-pools", "pool", **_standby(stage, lb["id"]))
    check = {"member_check": {"listener_id": listener["id"], "subject": "all"}}
    job = api.elb("POST", f"members/{member['id']}/health-check", check).json["member_check"]["job_id"]
    return {"stage": stage, "lb": lb["id"], "standby": standby["id"], "job": job, "free_lb": free["id"], "listener": listener["id"], "free_listener": free_listener["id"], "pool": pool["id"],
            "bare_pool": bare["id"], "member": member["id"], "monitor": monitor["id"],
            "certificate": certificate["id"], "ipgroup": group["id"], "security": security["id"], "ordered": ordered["id"], "policy": policy["id"],
            "rule": rule["id"], "log": log["id"], "flavor": api.list("flavors", "flavors")[0]["id"]}


def _member(world, last):
    return {"address": f"127.88.250.{last}", "protocol_port": 80, "subnet_cidr_id": world["stage"].subnet}


def _standby(stage, lb):
    """An active/standby pool as a create says it."""
    members = [{"address": f"127.88.250.{last}", "protocol_port": 80, "subnet_cidr_id": stage.subnet, "role": role}
               for last, role in ((31, "master"), (32, "slave"))]
    return {"loadbalancer_id": lb, "type": "instance", "vpc_id": stage.vpc, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members,
            "healthmonitor": {"type": "TCP", "delay": 50, "timeout": 1, "max_retries": 10}}


# For each operation: which object each path parameter names, and the body.
CASES = {
    "CreateLoadBalancer": lambda w: ({}, {"loadbalancer": {"name": "made", "availability_zone_list": [w["stage"].zone], "vip_subnet_cidr_id": w["stage"].subnet}}),
    "ListLoadBalancers": lambda w: ({}, NO_BODY),
    "ShowLoadBalancer": lambda w: ({"loadbalancer_id": w["lb"]}, NO_BODY),
    "UpdateLoadBalancer": lambda w: ({"loadbalancer_id": w["lb"]}, {"loadbalancer": {"name": "new"}}),
    "DeleteLoadBalancer": lambda w: ({"loadbalancer_id": w["free_lb"]}, NO_BODY),
    "DeleteLoadBalancerForce": lambda w: ({"loadbalancer_id": w["lb"]}, NO_BODY),
    "DeleteLoadBalancerCascade": lambda w: ({"loadbalancer_id": w["lb"]}, {"loadbalancer": {"unbounded_pool": True}}),
    "ShowLoadBalancerStatus": lambda w: ({"loadbalancer_id": w["lb"]}, NO_BODY),
    "CreateListener": lambda w: ({}, {"listener": {"loadbalancer_id": w["lb"], "protocol": "HTTP", "protocol_port": 8081}}),
    "ListListeners": lambda w: ({}, NO_BODY),
    "ShowListener": lambda w: ({"listener_id": w["listener"]}, NO_BODY),
    "UpdateListener": lambda w: ({"listener_id": w["listener"]}, {"listener": {"description": "new"}}),
    "DeleteListener": lambda w: ({"listener_id": w["free_listener"]}, NO_BODY),
    "DeleteListenerForce": lambda w: ({"listener_id": w["listener"]}, NO_BODY),
    "CreatePool": lambda w: ({}, {"pool": {"loadbalancer_id": w["lb"], "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}}),
    "ListPools": lambda w: ({}, NO_BODY),
    "ShowPool": lambda w: ({"pool_id": w["pool"]}, NO_BODY),
    "UpdatePool": lambda w: ({"pool_id": w["pool"]}, {"pool": {"lb_algorithm": "LEAST_CONNECTIONS"}}),
    "DeletePool": lambda w: ({"pool_id": w["bare_pool"]}, NO_BODY),
    "DeletePoolCascade": lambda w: ({"pool_id": w["pool"]}, NO_BODY),
    "BatchDeletePools": lambda w: ({}, {"pools": [w["bare_pool"]]}),
    "CreateMember": lambda w: ({"pool_id": w["pool"]}, {"member": _member(w, 20)}),
    "ListMembers": lambda w: ({"pool_id": w["pool"]}, NO_BODY),
    "ListAllMembers": lambda w: ({}, NO_BODY),
    "ShowMember": lambda w: ({"pool_id": w["pool"], "member_id": w["member"]}, NO_BODY),
    "UpdateMember": lambda w: ({"pool_id": w["pool"], "member_id": w["member"]}, {"member": {"weight": 7}}),
    "DeleteMember": lambda w: ({"pool_id": w["pool"], "member_id": w["member"]}, NO_BODY),
    "BatchCreateMembers": lambda w: ({"pool_id": w["pool"]}, {"members": [_member(w, 21), _member(w, 22)]}),
    "BatchUpdateMembers": lambda w: ({"pool_id": w["pool"]}, {"members": [{"id": w["member"], "weight": 9}]}),
    "BatchDeleteMembers": lambda w: ({"pool_id": w["pool"]}, {"members": [{"id": w["member"]}]}),
    "CreateMemberHealthCheckJob": lambda w: ({"member_id": w["member"]}, {"member_check": {"listener_id": w["listener"], "subject": "config"}}),
    "ShowMemberHealthCheckJob": lambda w: ({"job_id": w["job"]}, NO_BODY),
    "CreateMasterSlavePool": lambda w: ({}, {"pool": _standby(w["stage"], w["lb"])}),
    "ListMasterSlavePools": lambda w: ({}, NO_BODY),
    "ShowMasterSlavePool": lambda w: ({"pool_id": w["standby"]}, NO_BODY),
    "DeleteMasterSlavePool": lambda w: ({"pool_id": w["standby"]}, NO_BODY),
    "CreateHealthMonitor": lambda w: ({}, {"healthmonitor": {"pool_id": w["bare_pool"], "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3}}),
    "ListHealthMonitors": lambda w: ({}, NO_BODY),
    "ShowHealthMonitor": lambda w: ({"healthmonitor_id": w["monitor"]}, NO_BODY),
    "UpdateHealthMonitor": lambda w: ({"healthmonitor_id": w["monitor"]}, {"healthmonitor": {"delay": 9}}),
    "DeleteHealthMonitor": lambda w: ({"healthmonitor_id": w["monitor"]}, NO_BODY),
    "ListFlavors": lambda w: ({}, NO_BODY),
    "ShowFlavor": lambda w: ({"flavor_id": w["flavor"]}, NO_BODY),
    "ListAvailabilityZones": lambda w: ({}, NO_BODY),
    "ShowQuota": lambda w: ({}, NO_BODY),
    "ListQuotaDetails": lambda w: ({}, NO_BODY),
    "CreateCertificate": lambda w: ({}, {"certificate": {"certificate": pki.pair("a.com").chain, "private_key": pki.pair("a.com").key}}),
    "ListCertificates": lambda w: ({}, NO_BODY),
    "ShowCertificate": lambda w: ({"certificate_id": w["certificate"]}, NO_BODY),
    "UpdateCertificate": lambda w: ({"certificate_id": w["certificate"]}, {"certificate": {"name": "new"}}),
    "DeleteCertificate": lambda w: ({"certificate_id": w["certificate"]}, NO_BODY),
    "BatchDeleteCertificates": lambda w: ({}, {"certificates": [w["certificate"]]}),
    "ShowCertificatePrivateKeyEcho": lambda w: ({}, NO_BODY),
    "CreateCertificatePrivateKeyEcho": lambda w: ({}, {"private_key_echo": True}),
    "CreateSecurityPolicy": lambda w: ({}, {"security_policy": {"protocols": ["TLSv1.3"], "ciphers": ["TLS_AES_128_GCM_SHA256"]}}),
    "ListSecurityPolicies": lambda w: ({}, NO_BODY),
    "ShowSecurityPolicy": lambda w: ({"security_policy_id": w["security"]}, NO_BODY),
    "UpdateSecurityPolicy": lambda w: ({"security_policy_id": w["security"]}, {"security_policy": {"name": "new"}}),
    "DeleteSecurityPolicy": lambda w: ({"security_policy_id": w["security"]}, NO_BODY),
    "ListSystemSecurityPolicies": lambda w: ({}, NO_BODY),
    "CreateIpGroup": lambda w: ({}, {"ipgroup": {"ip_list": []}}),
    "ListIpGroups": lambda w: ({}, NO_BODY),
    "ShowIpGroup": lambda w: ({"ipgroup_id": w["ipgroup"]}, NO_BODY),
    "UpdateIpGroup": lambda w: ({"ipgroup_id": w["ipgroup"]}, {"ipgroup": {"ip_list": [{"ip": "::1"}]}}),
    "DeleteIpGroup": lambda w: ({"ipgroup_id": w["ipgroup"]}, NO_BODY),
    "UpdateIpList": lambda w: ({"ipgroup_id": w["ipgroup"]}, {"ipgroup": {"ip_list": [{"ip": "::1", "description": "here"}]}}),
    "BatchDeleteIpList": lambda w: ({"ipgroup_id": w["ipgroup"]}, {"ipgroup": {"ip_list": [{"ip": "10.0.0.0/8"}]}}),
    "ShowIpGroupRelatedListeners": lambda w: ({"ipgroup_id": w["ipgroup"]}, NO_BODY),
    "CreateL7Policy": lambda w: ({}, {"l7policy": {"listener_id": w["listener"], "action": "REDIRECT_TO_POOL", "redirect_pool_id": w["bare_pool"]}}),
    "ListL7Policies": lambda w: ({}, NO_BODY),
    "ShowL7Policy": lambda w: ({"l7policy_id": w["policy"]}, NO_BODY),
    "UpdateL7Policy": lambda w: ({"l7policy_id": w["policy"]}, {"l7policy": {"name": "new"}}),
    "DeleteL7Policy": lambda w: ({"l7policy_id": w["policy"]}, NO_BODY),
    "BatchUpdatePoliciesPriority": lambda w: ({}, {"l7policies": [{"id": w["policy"], "priority": 77}]}),
    "ListAllL7Rules": lambda w: ({}, NO_BODY),
    "CreateL7Rule": lambda w: ({"l7policy_id": w["policy"]}, {"rule": {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "a.com"}}),
    "ListL7Rules": lambda w: ({"l7policy_id": w["policy"]}, NO_BODY),
    "ShowL7Rule": lambda w: ({"l7policy_id": w["policy"], "l7rule_id": w["rule"]}, NO_BODY),
    "UpdateL7Rule": lambda w: ({"l7policy_id": w["policy"], "l7rule_id": w["rule"]}, {"rule": {"value": "/coffee"}}),
    "DeleteL7Rule": lambda w: ({"l7policy_id": w["policy"], "l7rule_id": w["rule"]}, NO_BODY),
    "CreateLogtank": lambda w: ({}, {"logtank": {"loadbalancer_id": w["free_lb"], "log_group_id": "g", "log_topic_id": "t"}}),
    "ListLogtanks": lambda w: ({}, NO_BODY),
    "ShowLogtank": lambda w: ({"logtank_id": w["log"]}, NO_BODY),
    "UpdateLogtank": lambda w: ({"logtank_id": w["log"]}, {"logtank": {"log_topic_id": "other"}}),
    "DeleteLogtank": lambda w: ({"logtank_id": w["log"]}, NO_BODY),
    "ListApiVersions": lambda w: ({}, NO_BODY),
}
# What outlives load balancers, by the operation that makes it.
BESIDE = {"CreateCertificate": ("certificates", "certificate"), "CreateSecurityPolicy": ("security-policies", "security_policy"),
          "CreateIpGroup": ("ipgroups", "ipgroup")}

operations = pytest.mark.parametrize("name", OPERATIONS)


def call(api, world, name, *, project=None):
    """The operation on the world, as `api`."""
    ids, body = CASES[name](world)
    path = OPERATIONS[name]["path"].format(project_id=project or world["stage"].api.project_id, **ids)
    return api.request(OPERATIONS[name]["method"], path, body)


def remember_new(world, name, reply):
    """So that what a create made goes away, too."""
    if name == "CreateLoadBalancer" and reply.status == 201:
        world["stage"].remember(reply.json["loadbalancer"]["id"])
    elif name in BESIDE and reply.status == 201:
        path, noun = BESIDE[name]
        world["stage"].remember_beside(path, reply.json[noun]["id"])


@operations
def test_answers_as_documented(world, name):
    reply = call(world["stage"].api, world, name)
    remember_new(world, name, reply)
    assert reply.status == OPERATIONS[name]["success"], reply.text
    if reply.status == 204:
        assert reply.text == ""
    else:
        assert mismatches(OPERATIONS[name]["answer"], reply.json) == []
        assert reply.headers["Content-Type"].startswith("application/json")
        if name not in NO_REQUEST_ID:
            assert re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.json["request_id"])
            assert reply.headers["X-Request-Id"] == reply.json["request_id"]


@operations
def test_nobody_is_let_in_without_credentials(world, name):
    nobody = Api(world["stage"].fulcrum.endpoint, world["stage"].api.project_id)
    reply = call(nobody, world, name)
    if name in OPEN:
        assert reply.status == 200
        return
    assert reply.status == 401, reply.text
    assert reply.code and reply.message and reply.json["request_id"] == reply.headers["X-Request-Id"]


@operations
def test_a_reader_reads_and_writes_nothing(fulcrum, world, name):
    reader = Api.account(fulcrum, config.READER)
    reply = call(reader, world, name)
    remember_new(world, name, reply)
    if name in READS:
        assert reply.status == 200, reply.text
    else:
        assert (reply.status, reply.code) == (403, "SYS.0403"), reply.text


@operations
def test_the_member_role_may_do_all_of_it(fulcrum, world, name):
    reply = call(Api.account(fulcrum, config.MEMBER_ROLE), world, name)
    remember_new(world, name, reply)
    assert reply.status == OPERATIONS[name]["success"], reply.text


WITH_ID = [name for name, operation in OPERATIONS.items() if re.search(r"\{(?!project_id)", operation["path"]) and name != "ShowFlavor"]


@pytest.mark.parametrize("name", WITH_ID)
def test_another_tenants_object_is_not_there(fulcrum, world, name):
    other = Api.account(fulcrum, config.SECOND_TENANT)
    reply = call(other, world, name, project=other.project_id)
    assert (reply.status, reply.code) == (404, "ELB.8904"), reply.text
    unknown = {key: str(uuid.uuid4()) if key not in ("stage", "flavor") else value for key, value in world.items()}
    same = call(other, unknown, name, project=other.project_id)
    assert (same.status, same.code) == (404, "ELB.8904"), "an id that never was must look the same"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "{project_id}" in OPERATIONS[name]["path"]])
def test_the_path_cannot_name_another_project(fulcrum, world, name):
    other = Api.account(fulcrum, config.SECOND_TENANT)
    reply = call(other, world, name, project=world["stage"].api.project_id)
    assert reply.status == 403, reply.text


def test_every_operation_has_a_case_and_a_test():
    assert set(CASES) == set(OPERATIONS)
    covered = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for names in re.findall(r"mark\.covers\(([^)]*)\)", file.read_text()):
            covered |= set(re.findall(r'"(\w+)"', names))
    assert set(OPERATIONS) - covered == set(), "no test covers these"
    assert covered - set(OPERATIONS) == set(), "not in data/operations.json"
