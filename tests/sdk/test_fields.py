"""Fields that are malformed, out of range, fixed or unknown: refused by name, and nothing changed."""

import json

import pytest

from harness import config
from harness.stage import Stage
from harness.wait import eventually

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def world(fulcrum):
    """One object of every noun: what updates aim at."""
    stage = Stage(fulcrum)
    front = stage.front(load_balancer=stage.load_balancer(name="fixed"))
    member = stage.api.create(f"pools/{front.pool['id']}/members", "member", address="127.88.250.88", protocol_port=80, subnet_cidr_id=stage.subnet)
    monitor = stage.api.create("healthmonitors", "healthmonitor", pool_id=front.pool["id"], type="HTTP", delay=50, timeout=1, max_retries=1)
    certificate = stage.certificate()
    https = stage.api.create("listeners", "listener", loadbalancer_id=front.load_balancer["id"], protocol="HTTPS", protocol_port=8443,
                             default_tls_container_ref=certificate["id"], enhance_l7policy_enable=True)
    policy = stage.api.create("l7policies", "l7policy", listener_id=https["id"], action="REDIRECT_TO_POOL", redirect_pool_id=front.pool["id"])
    rule = stage.api.create(f"l7policies/{policy['id']}/rules", "rule", type="PATH", compare_type="EQUAL_TO", value="/")
    group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.1"}])
    security = stage.beside("security-policies", "security_policy", protocols=["TLSv1.2"], ciphers=["AES128-SHA"])
    log = stage.api.create("logtanks", "logtank", loadbalancer_id=front.load_balancer["id"], log_group_id="group", log_topic_id="topic")
    yield {"stage": stage, "certificate": f"certificates/{certificate['id']}", "https": f"listeners/{https['id']}", "l7policy": f"l7policies/{policy['id']}",
           "rule": f"l7policies/{policy['id']}/rules/{rule['id']}", "ipgroup": f"ipgroups/{group['id']}",
           "security_policy": f"security-policies/{security['id']}", "logtank": f"logtanks/{log['id']}", "loadbalancer": f"loadbalancers/{front.load_balancer['id']}", "listener": f"listeners/{front.listener['id']}",
           "pool": f"pools/{front.pool['id']}", "member": f"pools/{front.pool['id']}/members/{member['id']}",
           "healthmonitor": f"healthmonitors/{monitor['id']}", "lb_id": front.load_balancer["id"], "pool_id": front.pool["id"]}
    stage.close()


ILL_TYPED = [
    ("loadbalancer", "name", 7), ("loadbalancer", "name", ["x"]), ("loadbalancer", "description", {}), ("loadbalancer", "admin_state_up", "true"),
    ("loadbalancer", "admin_state_up", 1), ("loadbalancer", "deletion_protection_enable", "yes"), ("loadbalancer", "name", "x" * 256),
    ("loadbalancer", "description", "x" * 256), ("loadbalancer", "protection_status", "strict"), ("loadbalancer", "vip_address", "nonsense"),
    ("loadbalancer", "vip_address", "10.1.2.3"), ("loadbalancer", "l7_flavor_id", UNKNOWN_ID), ("loadbalancer", "waf_failure_action", "drop"),
    ("loadbalancer", "tags", [{"key": "a"}]),
    ("listener", "keepalive_timeout", "60"), ("listener", "keepalive_timeout", 6.5), ("listener", "keepalive_timeout", 4001), ("listener", "client_timeout", 0),
    ("listener", "client_timeout", 3601), ("listener", "member_timeout", -1), ("listener", "enable_member_retry", "true"), ("listener", "default_pool_id", "nonsense"),
    ("listener", "insert_headers", []), ("listener", "insert_headers", {"X-Forwarded-Port": "true"}), ("listener", "name", "x" * 256),
    ("listener", "insert_headers", {"X-Forwarded-For-Processing-Mode": "replace"}), ("listener", "cps", -1), ("listener", "connection", 1_000_001),
    ("pool", "lb_algorithm", "FASTEST"), ("pool", "lb_algorithm", 1), ("pool", "session_persistence", "HTTP_COOKIE"), ("pool", "name", "x" * 256),
    ("pool", "session_persistence", {"type": "HTTP_COOKIE", "persistence_timeout": 0}), ("pool", "slow_start", {"enable": "x"}),
    ("pool", "pool_health", {"minimum_healthy_member_count": 2}), ("pool", "connection_drain", {"enable": True, "timeout": 9}),
    ("pool", "member_deletion_protection_enable", 0), ("pool", "admin_state_up", False),
    ("member", "weight", "5"), ("member", "weight", 101), ("member", "weight", 1.5), ("member", "protocol_port", 0), ("member", "protocol_port", 65536),
    ("member", "name", "x" * 256),
    ("healthmonitor", "delay", "5"), ("healthmonitor", "delay", 0), ("healthmonitor", "timeout", 51), ("healthmonitor", "max_retries", 11),
    ("certificate", "domain", ["a.com"]), ("certificate", "domain", "a..com"), ("certificate", "certificate", 7), ("certificate", "name", "x" * 256),
    ("certificate", "protection_status", "full"), ("certificate", "source", "elsewhere"),
    ("https", "default_tls_container_ref", None), ("https", "default_tls_container_ref", "x"), ("https", "sni_container_refs", "x"),
    ("https", "sni_container_refs", ["x"]), ("https", "sni_match_algo", "first"), ("https", "tls_ciphers_policy", "tls-9"), ("https", "security_policy_id", 7),
    ("https", "ssl_early_data_enable", "true"), ("https", "http2_enable", 1), ("https", "ipgroup", UNKNOWN_ID), ("https", "ipgroup", {"type": "white"}),
    ("https", "insert_headers", {"X-Forwarded-Tls-Sni-alias": "x" * 41}), ("https", "desync_mode", "off"),
    ("l7policy", "priority", 0), ("l7policy", "priority", 10_001), ("l7policy", "priority", "1"), ("l7policy", "redirect_pool_id", "x"),
    ("l7policy", "redirect_pools_config", [{"pool_id": UNKNOWN_ID, "weight": 101}]), ("l7policy", "redirect_pools_config", [{"weight": 1}]),
    ("l7policy", "redirect_pools_sticky_session_config", {"timeout": 1441}), ("l7policy", "rules", [{"type": "PATH"}]),
    ("l7policy", "redirect_pools_extend_config", {"traffic_limit_config": {"qps": 100_001}}),
    ("l7policy", "redirect_pools_extend_config", {"cors_config": {"max_age": -2}}), ("l7policy", "admin_state_up", False),
    ("rule", "compare_type", "CONTAINS"), ("rule", "value", ""), ("rule", "value", "x"), ("rule", "conditions", {"value": "/"}), ("rule", "invert", True),
    ("ipgroup", "ip_list", [{"ip": "x"}]), ("ipgroup", "ip_list", ["10.0.0.1"]), ("ipgroup", "ip_list", None),
    ("ipgroup", "ip_list", [{"ip": "::1", "description": "x" * 256}]),
    ("security_policy", "protocols", "TLSv1.2"), ("security_policy", "protocols", ["TLSv1.4"]), ("security_policy", "ciphers", ["RC4-SHA"]),
    ("logtank", "log_group_id", ""), ("logtank", "log_topic_id", "x" * 37), ("logtank", "log_topic_id", 7),
    ("healthmonitor", "admin_state_up", "false"), ("healthmonitor", "url_path", ""), ("healthmonitor", "expected_codes", 200),
]


def configured(api, path, noun):
    """What callers set; what probes find changes by itself."""
    shown = api.show(path, noun)
    return {field: value for field, value in shown.items() if field not in ("operating_status", "status", "reason")}


@pytest.mark.parametrize("noun, field, value", ILL_TYPED, ids=[f"{noun}-{field}-{json.dumps(value)[:24]}" for noun, field, value in ILL_TYPED])
def test_a_bad_value_is_a_400_that_names_the_field(world, noun, field, value):
    api, path = world["stage"].api, world[noun]
    noun = "listener" if noun == "https" else noun
    before = configured(api, path, noun)
    reply = api.elb("PUT", path, {noun: {field: value}})
    assert (reply.status, reply.code) in ((400, "ELB.8902"), (404, "ELB.8904") if "flavor" in field else (400, "ELB.8902")), reply.text
    assert field in reply.message, reply.message
    assert configured(api, path, noun) == before, "a refused update changes nothing"


FIXED = [
    ("loadbalancer", {"vpc_id": UNKNOWN_ID}), ("loadbalancer", {"provider": "other"}), ("loadbalancer", {"guaranteed": False}),
    ("loadbalancer", {"enterprise_project_id": UNKNOWN_ID}), ("loadbalancer", {"tags": [{"key": "a", "value": "b"}]}), ("loadbalancer", {"publicip_ids": [UNKNOWN_ID]}),
    ("loadbalancer", {"availability_zone_list": ["x"]}),
    ("listener", {"loadbalancer_id": UNKNOWN_ID}), ("listener", {"protocol": "TCP"}), ("listener", {"protocol_port": 81}),
    ("listener", {"port_ranges": [{"start_port": 1, "end_port": 2}]}), ("listener", {"tags": [{"key": "a", "value": "b"}]}),
    ("pool", {"protocol": "TCP"}), ("pool", {"listener_id": UNKNOWN_ID}), ("pool", {"loadbalancer_id": UNKNOWN_ID}), ("pool", {"ip_version": "dualstack"}),
    ("pool", {"public_border_group": "edge"}),
    ("member", {"address": "127.88.250.89"}), ("member", {"subnet_cidr_id": UNKNOWN_ID}),
    ("healthmonitor", {"pool_id": UNKNOWN_ID}),
    ("certificate", {"type": "client"}), ("certificate", {"enterprise_project_id": "0"}),
    ("l7policy", {"action": "FIXED_RESPONSE"}), ("l7policy", {"listener_id": UNKNOWN_ID}), ("l7policy", {"position": 7}),
    ("rule", {"type": "HOST_NAME"}), ("ipgroup", {"enterprise_project_id": "0"}), ("security_policy", {"enterprise_project_id": "0"}),
    ("logtank", {"loadbalancer_id": UNKNOWN_ID}),
]


@pytest.mark.parametrize("noun, fields", FIXED, ids=[f"{noun}-{next(iter(fields))}" for noun, fields in FIXED])
def test_what_creation_fixed_cannot_be_updated(world, noun, fields):
    api = world["stage"].api
    before = api.show(world[noun], noun)
    reply = api.elb("PUT", world[noun], {noun: {"name": "sneaked in", **fields}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and next(iter(fields)) in reply.message, reply.text
    assert api.show(world[noun], noun) == before


REQUIRED = [
    ("loadbalancers", "loadbalancer", {"vip_subnet_cidr_id": "SUBNET"}, "availability_zone_list"),
    ("loadbalancers", "loadbalancer", {"vip_subnet_cidr_id": "SUBNET", "availability_zone_list": []}, "availability_zone_list"),
    ("loadbalancers", "loadbalancer", {"availability_zone_list": ["ZONE"]}, "vip_subnet_cidr_id"),
    ("loadbalancers", "loadbalancer", {"availability_zone_list": ["ZONE"], "vpc_id": "VPC", "vip_address": "127.88.9.9"}, "vip_subnet_cidr_id"),
    ("loadbalancers", "loadbalancer", {"availability_zone_list": ["ZONE"], "vip_subnet_cidr_id": "SUBNET", "guaranteed": False}, "guaranteed"),
    ("loadbalancers", "loadbalancer", {"availability_zone_list": ["ZONE"], "vip_subnet_cidr_id": "SUBNET", "provider": "vendor"}, "provider"),
    ("listeners", "listener", {"protocol": "HTTP", "protocol_port": 80}, "loadbalancer_id"),
    ("listeners", "listener", {"loadbalancer_id": "LB", "protocol_port": 80}, "protocol"),
    ("listeners", "listener", {"loadbalancer_id": "LB", "protocol": "HTTP"}, "protocol_port"),
    ("pools", "pool", {"loadbalancer_id": "LB", "protocol": "HTTP"}, "lb_algorithm"),
    ("pools", "pool", {"loadbalancer_id": "LB", "lb_algorithm": "ROUND_ROBIN"}, "protocol"),
    ("pools/POOL/members", "member", {"protocol_port": 80}, "address"),
    ("pools/POOL/members", "member", {"address": "127.88.250.1", "subnet_cidr_id": "SUBNET"}, "protocol_port"),
    ("certificates", "certificate", {"private_key": "x"}, "certificate"),
    ("l7policies", "l7policy", {"action": "REDIRECT_TO_POOL", "redirect_pool_id": "POOL"}, "listener_id"),
    ("l7policies", "l7policy", {"listener_id": "LB", "redirect_pool_id": "POOL"}, "action"),
    ("ipgroups", "ipgroup", {"name": "x"}, "ip_list"),
    ("security-policies", "security_policy", {"protocols": ["TLSv1.2"]}, "ciphers"),
    ("security-policies", "security_policy", {"ciphers": ["AES128-SHA"]}, "protocols"),
    ("logtanks", "logtank", {"log_group_id": "g", "log_topic_id": "t"}, "loadbalancer_id"),
    ("healthmonitors", "healthmonitor", {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}, "pool_id"),
    ("healthmonitors", "healthmonitor", {"pool_id": "POOL", "delay": 1, "timeout": 1, "max_retries": 1}, "type"),
    ("healthmonitors", "healthmonitor", {"pool_id": "POOL", "type": "TCP", "timeout": 1, "max_retries": 1}, "delay"),
    ("healthmonitors", "healthmonitor", {"pool_id": "POOL", "type": "TCP", "delay": 1, "max_retries": 1}, "timeout"),
    ("healthmonitors", "healthmonitor", {"pool_id": "POOL", "type": "TCP", "delay": 1, "timeout": 1}, "max_retries"),
]


@pytest.mark.parametrize("path, noun, fields, missing", REQUIRED, ids=[f"{row[1]}-{row[3]}-{number}" for number, row in enumerate(REQUIRED)])
def test_what_creation_needs(world, path, noun, fields, missing):
    stage = world["stage"]
    names = {"SUBNET": stage.subnet, "VPC": stage.vpc, "LB": world["lb_id"], "POOL": world["pool_id"], "ZONE": stage.zone}
    fields = {key: [names.get(one, one) for one in value] if isinstance(value, list) else names.get(value, value) for key, value in fields.items()}
    reply = stage.api.elb("POST", path.replace("POOL", world["pool_id"]), {noun: fields})
    assert (reply.status, reply.code) == (400, "ELB.8902") and missing in reply.message, reply.text


BODIES = [("empty", b""), ("no JSON", b"{"), ("another type", b"[]"), ("another wrapper", b'{"pool": {}}'), ("wrapper of another type", b'{"loadbalancer": 7}'),
          ("null wrapper", b'{"loadbalancer": null}'), ("not UTF-8", b'{"loadbalancer": {"name": "\xff"}}'), ("twice the same key", b'{"loadbalancer": {"name": "a", "name": "b"}}'),
          ("text after the end", b'{"loadbalancer": {"name": "a"}} x')]


@pytest.mark.parametrize("why, body", BODIES, ids=[row[0] for row in BODIES])
def test_bodies_that_cannot_be_read(world, why, body):
    reply = world["stage"].api.elb("PUT", world["loadbalancer"], raw=body)
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
    assert world["stage"].api.show(world["loadbalancer"], "loadbalancer")["name"] == "fixed"


def test_an_unknown_field_is_ignored_and_told_in_the_log(start):
    process = start()
    stage = Stage(process)
    made = stage.load_balancer(field_of_a_newer_client="x")
    assert "field_of_a_newer_client" not in made
    eventually(lambda: "field_of_a_newer_client" in process.log.read_text(), what="the unknown field in the log")
    told = process.log.read_text().count("field_of_a_newer_client")
    stage.load_balancer(field_of_a_newer_client="x")
    stage.load_balancer(another_new_field="x")
    eventually(lambda: "another_new_field" in process.log.read_text(), what="the second unknown field in the log")
    assert process.log.read_text().count("field_of_a_newer_client") == told, "once is enough"


def test_an_unknown_field_is_refused_when_the_operator_says_so(start):
    stage = Stage(start(config=config.strict_fields()))
    body = {"vip_subnet_cidr_id": stage.subnet, "availability_zone_list": [stage.zone], "field_of_a_newer_client": "x"}
    reply = stage.api.elb("POST", "loadbalancers", {"loadbalancer": body})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "field_of_a_newer_client" in reply.message


def test_ids_that_are_no_ids_are_not_found(api):
    for path in ("loadbalancers/nonsense", "listeners/..%2F..", "pools/%00", "healthmonitors/" + "9" * 400):
        reply = api.elb("GET", path)
        assert reply.status in (400, 404), (path, reply.text)
