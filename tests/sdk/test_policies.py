"""Forwarding policies, their rules and priorities through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness.sdk import refused_with


@pytest.fixture
def plain(elb, stage):
    """An HTTP listener whose order of policies is computed, with three pools."""
    return Ground(elb, stage, enhance_l7policy_enable=False)


@pytest.fixture
def ordered(elb, stage):
    """An HTTP listener with priorities, and three pools."""
    return Ground(elb, stage, enhance_l7policy_enable=True)


class Ground:
    """A listener and pools of its load balancer."""

    def __init__(self, elb, stage, **listener):
        self.elb, self.lb = elb, stage.load_balancer()["id"]
        self.listener = elb.create("Listener", loadbalancer_id=self.lb, protocol="HTTP", protocol_port=80, **listener).id
        self.pools = [elb.create("Pool", loadbalancer_id=self.lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN").id for _ in range(3)]

    def policy(self, **fields):
        """A policy that sends to the first pool, unless said otherwise."""
        if "action" not in fields:
            fields = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": self.pools[0], **fields}
        return self.elb.create("L7Policy", listener_id=self.listener, **fields)

    def fixed(self, **fields):
        """A policy that answers by itself."""
        return self.policy(action="FIXED_RESPONSE", fixed_response_config=v3.CreateFixtedResponseConfig(status_code="418"), **fields)


def path(value, compare="EQUAL_TO"):
    """A rule about the path."""
    return v3.CreateL7PolicyRuleOption(type="PATH", compare_type=compare, value=value)


@pytest.mark.covers("CreateL7Policy", "ShowL7Policy")
def test_a_new_policy_has_the_documented_defaults(elb, stage, plain):
    made = plain.policy()
    assert elb.show("L7Policy", made.id).to_dict() == made.to_dict()
    expected = {"name": "", "description": "", "admin_state_up": True, "action": "REDIRECT_TO_POOL", "position": 100, "priority": 1,
                "listener_id": plain.listener, "redirect_pool_id": plain.pools[0], "redirect_listener_id": None, "redirect_url": None,
                "redirect_url_config": None, "fixed_response_config": None, "redirect_pools_config": [], "rules": [],
                "provisioning_status": "ACTIVE", "enterprise_project_id": "0", "project_id": stage.api.project_id}
    assert {key: getattr(made, key) for key in expected} == expected
    assert [ref.id for ref in elb.show("Pool", plain.pools[0]).listeners] == [plain.listener], "the listener reaches the pool by its policy"


@pytest.mark.covers("CreateL7Policy")
def test_what_comes_with_priorities_is_refused_without_them(stage, plain):
    pool = plain.pools[0]
    for why, fields in (("a priority", {"priority": 3, "redirect_pool_id": pool}),
                        ("several pools", {"redirect_pools_config": [{"pool_id": pool}]}),
                        ("extras", {"redirect_pool_id": pool, "redirect_pools_extend_config": {"traffic_limit_config": {"qps": 1}}}),
                        ("a redirect", {"action": "REDIRECT_TO_URL", "redirect_url_config": {"host": "a.com", "status_code": "301"}}),
                        ("an answer", {"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "200"}}),
                        ("a rule about headers", {"redirect_pool_id": pool, "rules": [{"type": "HEADER", "compare_type": "EQUAL_TO", "key": "a", "value": "b"}]}),
                        ("conditions", {"redirect_pool_id": pool, "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/",
                                                                              "conditions": [{"value": "/"}]}]})):
        reply = stage.api.elb("POST", "l7policies", {"l7policy": {"listener_id": plain.listener, "action": "REDIRECT_TO_POOL", **fields}})
        assert (reply.status, reply.code) == (400, "ELB.8902"), (why, reply.text)
        assert "enhance_l7policy_enable" in reply.message, why


@pytest.mark.covers("CreateL7Policy", "BatchUpdatePoliciesPriority")
def test_priorities_count_up_and_change_places_at_once(elb, ordered):
    first, second = ordered.fixed(), ordered.fixed(rules=[path("/b")])
    assert (first.priority, second.priority) == (1, 2)
    assert ordered.fixed(priority=10_000, rules=[path("/c")]).priority == 10_000
    refused_with(409, "ELB.8907", ordered.fixed, priority=2, rules=[path("/d")])
    refused_with(400, "ELB.8902", ordered.fixed, rules=[path("/e")])

    def order(*wishes):
        items = [v3.BatchUpdatePriorityRequestBody(id=policy.id, priority=priority) for policy, priority in wishes]
        return elb.call("BatchUpdatePoliciesPriority", body=v3.BatchUpdatePoliciesPriorityRequestBody(l7policies=items))

    def priorities():
        return [elb.show("L7Policy", policy.id).priority for policy in (first, second)]
    assert order((first, 2), (second, 1)).request_id
    assert priorities() == [2, 1]
    refused_with(409, "ELB.8907", order, (first, 5), (second, 10_000))
    assert priorities() == [2, 1], "all or nothing"


@pytest.mark.covers("CreateL7Policy", "UpdateL7Policy")
def test_several_pools_share_by_weight(elb, ordered):
    pools = [v3.CreateRedirectPoolsConfig(pool_id=ordered.pools[0], weight="70"), v3.CreateRedirectPoolsConfig(pool_id=ordered.pools[1])]
    sticky = v3.CreateRedirectPoolsStickySessionConfig(enable=True, timeout=20)
    made = ordered.policy(action="REDIRECT_TO_POOL", redirect_pools_config=pools, redirect_pools_sticky_session_config=sticky)
    assert [(one.pool_id, one.weight) for one in made.redirect_pools_config] == [(ordered.pools[0], 70), (ordered.pools[1], 1)]
    assert (made.redirect_pools_sticky_session_config.enable, made.redirect_pools_sticky_session_config.timeout) == (True, 20)
    error = refused_with(409, "ELB.8907", elb.delete, "Pool", ordered.pools[1])
    assert made.id in error.error_msg, "a pool of a policy is in use"
    changed = elb.update("L7Policy", made.id, redirect_pools_config=[v3.UpdateRedirectPoolsConfig(pool_id=ordered.pools[2], weight="0")])
    assert [(one.pool_id, one.weight) for one in changed.redirect_pools_config] == [(ordered.pools[2], 0)]
    assert changed.redirect_pools_sticky_session_config.enable is True
    elb.delete("Pool", ordered.pools[1])
    twice = [v3.CreateRedirectPoolsConfig(pool_id=ordered.pools[0])] * 2
    refused_with(400, "ELB.8902", ordered.policy, action="REDIRECT_TO_POOL", redirect_pools_config=twice)


@pytest.mark.covers("CreateL7Policy", "UpdateL7Policy")
def test_a_redirect_to_a_url(elb, ordered):
    config = v3.CreateRedirectUrlConfig(protocol="HTTPS", port="443", path="/new${path}", status_code="308",
                                        remove_headers_config=v3.CreateRemoveHeadersConfig(configs=[v3.CreateRemoveHeaderConfig(key="server")]))
    made = ordered.policy(action="REDIRECT_TO_URL", redirect_url_config=config)
    shown = made.redirect_url_config
    assert (shown.protocol, shown.host, shown.port, shown.path, shown.query, shown.status_code) == ("HTTPS", "${host}", "443", "/new${path}", "${query}", "308")
    assert [one.key for one in shown.remove_headers_config.configs] == ["server"]
    changed = elb.update("L7Policy", made.id, redirect_url_config=v3.UpdateRedirectUrlConfig(host="example.com", status_code="302")).redirect_url_config
    assert (changed.host, changed.path, changed.status_code) == ("example.com", "/new${path}", "302"), "what is not named stays"


@pytest.mark.covers("CreateL7Policy", "UpdateL7Policy")
def test_an_answer_of_its_own(elb, ordered):
    config = v3.CreateFixtedResponseConfig(status_code="503", content_type="application/json", message_body="{}",
                                           traffic_limit_config=v3.CreateTrafficLimitConfig(qps=5))
    shown = ordered.policy(action="FIXED_RESPONSE", fixed_response_config=config)
    fixed = shown.fixed_response_config
    assert (fixed.status_code, fixed.content_type, fixed.message_body, fixed.traffic_limit_config.qps) == ("503", "application/json", "{}", 5)
    changed = elb.update("L7Policy", shown.id, fixed_response_config=v3.UpdateFixtedResponseConfig(message_body="[]")).fixed_response_config
    assert (changed.status_code, changed.message_body, changed.traffic_limit_config.qps) == ("503", "[]", 5)


@pytest.mark.covers("CreateL7Policy", "UpdateL7Policy")
def test_what_a_policy_changes_on_the_way(elb, stage, ordered):
    extras = v3.CreateRedirectPoolsExtendConfig(
        rewrite_url_enable=True, rewrite_url_config=v3.CreateRewriteUrlConfig(path="/v2${path}"),
        insert_headers_config=v3.CreateInsertHeadersConfig(configs=[
            v3.CreateInsertHeaderConfig(key="x-a", value_type="USER_DEFINED", value="1"),
            v3.CreateInsertHeaderConfig(key="x-b", value_type="REFERENCE_HEADER", value="user-agent"),
            v3.CreateInsertHeaderConfig(key="x-c", value_type="SYSTEM_DEFINED", value="CLIENT-IP")]),
        remove_headers_config=v3.CreateRemoveHeadersConfig(configs=[v3.CreateRemoveHeaderConfig(key="x-d")]),
        traffic_limit_config=v3.CreateTrafficLimitConfig(qps=100, per_source_ip_qps=10, burst=5),
        cors_config=v3.CreateCorsConfig(allow_origin=["https://*.example.com"], allow_methods=["GET"], allow_headers=["x-a"], expose_headers=["x-b"],
                                        allow_credentials=True, max_age=60),
        traffic_mirror_config=v3.CreateTrafficMirrorConfig(target_ids=[ordered.pools[1]]))
    made = ordered.policy(redirect_pools_extend_config=extras)
    shown = made.redirect_pools_extend_config
    assert (shown.rewrite_url_enable, shown.rewrite_url_config.host, shown.rewrite_url_config.path) == (True, "${host}", "/v2${path}")
    assert [(one.key, one.value_type, one.value) for one in shown.insert_headers_config.configs] == [
        ("x-a", "USER_DEFINED", "1"), ("x-b", "REFERENCE_HEADER", "user-agent"), ("x-c", "SYSTEM_DEFINED", "CLIENT-IP")]
    assert (shown.traffic_limit_config.qps, shown.traffic_limit_config.per_source_ip_qps, shown.traffic_limit_config.burst) == (100, 10, 5)
    assert (shown.cors_config.allow_origin, shown.cors_config.max_age) == (["https://*.example.com"], 60)
    assert (shown.traffic_mirror_config.target_ids, shown.traffic_mirror_config.mirror_request_body_enable) == ([ordered.pools[1]], True)
    less = v3.UpdateRedirectPoolsExtendConfig(traffic_limit_config=v3.UpdateTrafficLimitConfig(burst=6))
    changed = elb.update("L7Policy", made.id, redirect_pools_extend_config=less).redirect_pools_extend_config
    assert (changed.traffic_limit_config.qps, changed.traffic_limit_config.burst, changed.rewrite_url_enable) == (100, 6, True), "the rest stays"
    gone = stage.api.update(f"l7policies/{made.id}", "l7policy", redirect_pools_extend_config={"traffic_limit_config": None})
    assert gone["redirect_pools_extend_config"]["traffic_limit_config"] is None
    for why, part in (("a header that is ours", {"remove_headers_config": {"configs": [{"key": "Host"}]}}),
                      ("one client may have more than all", {"traffic_limit_config": {"qps": 5, "per_source_ip_qps": 6}}),
                      ("no value of the system", {"insert_headers_config": {"configs": [{"key": "a", "value_type": "SYSTEM_DEFINED", "value": "MOON"}]}})):
        reply = stage.api.elb("PUT", f"l7policies/{made.id}", {"l7policy": {"redirect_pools_extend_config": part}})
        assert (reply.status, reply.code) == (400, "ELB.8902"), (why, reply.text)


@pytest.mark.covers("CreateL7Policy")
def test_a_redirect_to_an_https_listener(elb, stage, plain):
    https = elb.create("Listener", loadbalancer_id=plain.lb, protocol="HTTPS", protocol_port=443, default_tls_container_ref=stage.certificate()["id"])
    made = plain.policy(action="REDIRECT_TO_LISTENER", redirect_listener_id=https.id)
    assert (made.redirect_listener_id, made.redirect_pool_id) == (https.id, None)
    error = refused_with(409, "ELB.8907", elb.delete, "Listener", https.id)
    assert made.id in error.error_msg, "it says who points here"
    rule = v3.CreateRuleOption(type="PATH", compare_type="EQUAL_TO", value="/")
    refused_with(400, "ELB.8902", elb.call, "CreateL7Rule", l7policy_id=made.id, body=v3.CreateL7RuleRequestBody(rule=rule))
    refused_with(400, "ELB.8902", plain.policy, action="REDIRECT_TO_LISTENER", redirect_listener_id=plain.listener)
    elb.delete("L7Policy", made.id)
    elb.delete("Listener", https.id)


@pytest.mark.covers("CreateL7Policy", "DeleteL7Policy", "ShowLoadBalancerStatus")
def test_a_twin_is_faulty(elb, plain):
    first = plain.policy(name="first", rules=[path("/a")])
    twin = plain.policy(name="twin", rules=[path("/a")])
    assert (first.provisioning_status, twin.provisioning_status) == ("ACTIVE", "ERROR")
    rules = elb.list("ListL7Rules", l7policy_id=twin.id).rules
    assert [rule.provisioning_status for rule in rules] == ["ERROR"]
    assert [item.id for item in elb.list("ListL7Policies", listener_id=[plain.listener], provisioning_status=["ERROR"]).l7policies] == [twin.id]
    tree = elb.call("ShowLoadBalancerStatus", loadbalancer_id=plain.lb).statuses.loadbalancer.listeners[0]
    assert {policy.id: policy.provisioning_status for policy in tree.l7policies} == {first.id: "ACTIVE", twin.id: "ERROR"}
    assert tree.operating_status == "DEGRADED"
    elb.delete("L7Policy", twin.id)
    tree = elb.call("ShowLoadBalancerStatus", loadbalancer_id=plain.lb).statuses.loadbalancer.listeners[0]
    assert [(rule.id, rule.type) for rule in tree.l7policies[0].rules] == [(first.rules[0].id, "PATH")]
    assert tree.operating_status == "ONLINE"


@pytest.mark.covers("UpdateL7Policy", "ListL7Policies")
def test_an_update_changes_what_it_names_and_rules_are_replaced_as_a_whole(elb, stage, plain):
    made = plain.policy(name="before", description="kept", rules=[path("/a")])
    changed = elb.update("L7Policy", made.id, name="after", redirect_pool_id=plain.pools[1])
    assert (changed.name, changed.description, changed.redirect_pool_id) == ("after", "kept", plain.pools[1])
    assert [ref.id for ref in changed.rules] == [ref.id for ref in made.rules]
    rules = [v3.CreateRuleOption(type="PATH", compare_type="STARTS_WITH", value="/b"), v3.CreateRuleOption(type="HOST_NAME", compare_type="EQUAL_TO", value="a.com")]
    replaced = elb.update("L7Policy", made.id, rules=rules)
    assert len(replaced.rules) == 2 and made.rules[0].id not in [ref.id for ref in replaced.rules]
    whole = elb.list("ListL7Policies", id=[made.id], display_all_rules=True).l7policies
    # The vendor's class keeps ids alone; the answer has more.
    assert [ref.id for ref in whole[0].rules] == [ref.id for ref in replaced.rules]
    raw = stage.api.list("l7policies", "l7policies", id=made.id, display_all_rules="true")[0]["rules"]
    assert {(rule["type"], rule["value"]) for rule in raw} == {("PATH", "/b"), ("HOST_NAME", "a.com")}
    for field, value in (("action", "FIXED_RESPONSE"), ("listener_id", plain.listener), ("position", 1)):
        reply = stage.api.elb("PUT", f"l7policies/{made.id}", {"l7policy": {field: value}})
        assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message
    reply = stage.api.elb("PUT", f"l7policies/{made.id}", {"l7policy": {"fixed_response_config": {"status_code": "200"}}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "fixed_response_config" in reply.message


@pytest.mark.covers("DeleteL7Policy")
def test_a_listener_with_policies_is_in_use_and_force_takes_them(elb, plain):
    made = plain.policy(rules=[path("/a")])
    refused_with(409, "ELB.8907", elb.delete, "Listener", plain.listener)
    elb.call("DeleteListenerForce", listener_id=plain.listener)
    refused_with(404, "ELB.8904", elb.show, "L7Policy", made.id)
    assert elb.list("ListAllL7Rules", l7policy_id=[made.id]).rules == []
    elb.delete("Pool", plain.pools[0])


@pytest.mark.covers("CreateL7Rule", "ShowL7Rule", "UpdateL7Rule", "DeleteL7Rule", "ListL7Rules", "ListAllL7Rules")
def test_a_rule_lives(elb, stage, ordered):
    policy = ordered.fixed()
    values = [v3.CreateRuleCondition(key="x-team", value="red"), v3.CreateRuleCondition(key="x-team", value="blue*")]
    made = elb.create("L7Rule", of=policy.id, type="HEADER", compare_type="EQUAL_TO", value="unused", conditions=values)
    assert (made.type, made.compare_type, made.invert, made.admin_state_up, made.provisioning_status) == ("HEADER", "EQUAL_TO", False, True, "ACTIVE")
    assert [(one.key, one.value) for one in made.conditions] == [("x-team", "red"), ("x-team", "blue*")]
    assert elb.show("L7Rule", made.id, of=policy.id).to_dict() == made.to_dict()
    host = elb.create("L7Rule", of=policy.id, type="HOST_NAME", compare_type="EQUAL_TO", value="a.example.com")
    assert sorted(rule.id for rule in elb.list("ListL7Rules", l7policy_id=policy.id).rules) == sorted([made.id, host.id])
    assert [rule.id for rule in elb.list("ListL7Rules", l7policy_id=policy.id, type=["HOST_NAME"]).rules] == [host.id]
    assert [rule.id for rule in elb.list("ListAllL7Rules", l7policy_id=[policy.id], value=["a.example.com"]).rules] == [host.id]
    changed = elb.update("L7Rule", host.id, of=policy.id, value="b.example.com")
    assert (changed.value, changed.type) == ("b.example.com", "HOST_NAME")
    reply = stage.api.elb("PUT", f"l7policies/{policy.id}/rules/{host.id}", {"rule": {"type": "PATH"}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "type" in reply.message
    refused_with(400, "ELB.8902", elb.create, "L7Rule", of=policy.id, type="HOST_NAME", compare_type="EQUAL_TO", value="c.example.com")
    elb.delete("L7Rule", host.id, of=policy.id)
    refused_with(404, "ELB.8904", elb.show, "L7Rule", host.id, of=policy.id)
    other = ordered.fixed(rules=[path("/other")])
    refused_with(404, "ELB.8904", elb.show, "L7Rule", made.id, of=other.id)


BAD_RULES = [
    ("a relative path", {"type": "PATH", "compare_type": "EQUAL_TO", "value": "a"}),
    ("a regex that is none", {"type": "PATH", "compare_type": "REGEX", "value": "/("}),
    ("a host's prefix", {"type": "HOST_NAME", "compare_type": "STARTS_WITH", "value": "a"}),
    ("no method", {"type": "METHOD", "compare_type": "EQUAL_TO", "value": "FETCH"}),
    ("no network", {"type": "SOURCE_IP", "compare_type": "EQUAL_TO", "value": "here"}),
    ("a header without its name", {"type": "HEADER", "compare_type": "EQUAL_TO", "value": "x"}),
    ("two names", {"type": "HEADER", "compare_type": "EQUAL_TO", "value": "x", "conditions": [{"key": "a", "value": "x"}, {"key": "b", "value": "x"}]}),
    ("one value twice", {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/", "conditions": [{"value": "/a"}, {"value": "/a"}]}),
    ("turned around", {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/", "invert": True}),
    ("no such subject", {"type": "MOOD", "compare_type": "EQUAL_TO", "value": "/"}),
    ("too long", {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/" + "x" * 128}),
]


@pytest.mark.covers("CreateL7Rule")
@pytest.mark.parametrize("why, rule", BAD_RULES, ids=[row[0] for row in BAD_RULES])
def test_rules_that_cannot_hold_are_refused(api, stage, why, rule):
    lb = stage.load_balancer()["id"]
    listener = api.create("listeners", "listener", loadbalancer_id=lb, protocol="HTTP", protocol_port=80, enhance_l7policy_enable=True)
    policy = api.create("l7policies", "l7policy", listener_id=listener["id"], action="FIXED_RESPONSE", fixed_response_config={"status_code": "200"})
    reply = api.elb("POST", f"l7policies/{policy['id']}/rules", {"rule": rule})
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
    reply = api.elb("PUT", f"l7policies/{policy['id']}", {"l7policy": {"rules": [rule]}})
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text


@pytest.mark.covers("CreateL7Rule")
def test_a_policy_has_ten_conditions(elb, ordered):
    policy = ordered.fixed()
    nine = [v3.CreateRuleCondition(value=f"/{n}") for n in range(9)]
    elb.create("L7Rule", of=policy.id, type="PATH", compare_type="EQUAL_TO", value="/", conditions=nine)
    elb.create("L7Rule", of=policy.id, type="HOST_NAME", compare_type="EQUAL_TO", value="a.com")
    error = refused_with(409, "ELB.8905", elb.create, "L7Rule", of=policy.id, type="METHOD", compare_type="EQUAL_TO", value="GET")
    assert "condition_per_policy" in error.error_msg
