"""Lists: every documented filter, and paging both ways."""

import pytest

from harness.contract import OPERATIONS

LISTS = {"ListLoadBalancers": ("loadbalancers", "loadbalancers"), "ListListeners": ("listeners", "listeners"), "ListPools": ("pools", "pools"),
         "ListMembers": ("pools/{pool}/members", "members"), "ListAllMembers": ("members", "members"),
         "ListHealthMonitors": ("healthmonitors", "healthmonitors"), "ListFlavors": ("flavors", "flavors"),
         "ListCertificates": ("certificates", "certificates"), "ListSecurityPolicies": ("security-policies", "security_policies"),
         "ListIpGroups": ("ipgroups", "ipgroups"), "ListL7Policies": ("l7policies", "l7policies"), "ListL7Rules": ("l7policies/{policy}/rules", "rules"),
         "ListAllL7Rules": ("l7policies/rules", "rules"), "ListLogtanks": ("logtanks", "logtanks"),
         "ListMasterSlavePools": ("master-slave-pools", "pools")}
FILTERS = [(operation, item["name"], item["type"]) for operation in LISTS for item in OPERATIONS[operation]["filters"]]

# Filters whose value is not simply the field of the same name: what finds the object that `world` made.
DERIVED = {
    ("ListLoadBalancers", "member_address"): lambda w: "127.88.250.77",
    ("ListLoadBalancers", "ip_version"): lambda w: 4,
    ("ListLoadBalancers", "availability_zone_list"): lambda w: w["stage"].zone,
    ("ListLoadBalancers", "autoscaling"): lambda w: "enable=false",
    ("ListListeners", "loadbalancer_id"): lambda w: w["lb"],
    ("ListListeners", "member_address"): lambda w: "127.88.250.77",
    ("ListPools", "loadbalancer_id"): lambda w: w["lb"],
    ("ListPools", "listener_id"): lambda w: w["listener"],
    ("ListPools", "member_address"): lambda w: "127.88.250.77",
    ("ListPools", "pool_health"): lambda w: "minimum_healthy_member_count=1",
    ("ListPools", "connection_drain"): lambda w: "true",
    ("ListMasterSlavePools", "loadbalancer_id"): lambda w: w["lb"],
    ("ListMasterSlavePools", "listener_id"): lambda w: w["standby_listener"],
    ("ListMasterSlavePools", "member_address"): lambda w: "127.88.250.77",
    ("ListMasterSlavePools", "healthmonitor_id"): lambda w: w["standby_monitor"],
    ("ListMasterSlavePools", "connection_drain"): lambda w: "true",
    ("ListAllMembers", "pool_id"): lambda w: w["pool"],
    ("ListAllMembers", "loadbalancer_id"): lambda w: w["lb"],
    ("ListCertificates", "domain"): lambda w: "a.example.com",
    ("ListSecurityPolicies", "protocols"): lambda w: "TLSv1.2",
    ("ListSecurityPolicies", "ciphers"): lambda w: "AES128-SHA",
    ("ListIpGroups", "ip_list"): lambda w: "10.0.0.0/8",
    ("ListAllL7Rules", "l7policy_id"): lambda w: w["policy"],
    # Members and monitors do not show it; it is their pool's. Rules and logs: their load balancer's.
    ("ListL7Rules", "enterprise_project_id"): lambda w: "0",
    ("ListAllL7Rules", "enterprise_project_id"): lambda w: "0",
    ("ListLogtanks", "enterprise_project_id"): lambda w: "0",
    ("ListMembers", "enterprise_project_id"): lambda w: "0",
    ("ListAllMembers", "enterprise_project_id"): lambda w: "0",
    ("ListHealthMonitors", "enterprise_project_id"): lambda w: "0",
}
# What the world's objects have nothing of: such a filter finds none of them, whatever it asks.
NOTHING = {"ipv6_vip_port_id", "ipv6_vip_address", "ipv6_vip_virsubnet_id", "eips", "publicips", "global_eips", "l4_scale_flavor_id",
           "l7_scale_flavor_id", "billing_info", "member_device_id", "member_instance_id",
           "default_tls_container_ref", "client_ca_tls_container_ref", "tls_ciphers_policy", "instance_id", "quic_cid_len", "quic_cid_offset",
           "redirect_url", "redirect_listener_id"}
STRUCTS = {"eips": "ip_version=4", "publicips": "ip_version=4", "global_eips": "ip_version=4"}
# Switches of the list itself: they choose nothing among living objects.
SWITCHES = {"include_recycle_bin", "list_all", "display_all_rules"}


@pytest.fixture(scope="module")
def world(fulcrum):
    """One object of every noun with all fields set, and a second one of each that differs."""
    from harness.stage import Stage
    stage = Stage(fulcrum)
    api = stage.api
    found = {"stage": stage}
    for last in ("", "_2"):
        first = not last
        lb = stage.load_balancer(name=f"lb{last}", description=f"about lb{last}", admin_state_up=first, deletion_protection_enable=first,
                                 protection_status="consoleProtection" if first else "nonProtection")
        listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP" if first else "TCP", protocol_port=80 if first else 81,
                              name=f"listener{last}", description=f"about listener{last}", keepalive_timeout=61 if first else 62,
                              protection_status="consoleProtection" if first else "nonProtection",
                              **({"enhance_l7policy_enable": True, "client_timeout": 63, "member_timeout": 64, "enable_member_retry": False} if first else {}))
        pool = api.create("pools", "pool", listener_id=listener["id"], protocol=listener["protocol"], lb_algorithm="ROUND_ROBIN" if first else "SOURCE_IP",
                          name=f"pool{last}", description=f"about pool{last}", member_deletion_protection_enable=first,
                          pool_health={"minimum_healthy_member_count": 1 if first else 0},
                          protection_status="consoleProtection" if first else "nonProtection",
                          **({} if first else {"connection_drain": {"enable": True, "timeout": 10}}))
        member = api.create(f"pools/{pool['id']}/members", "member", address="127.88.250.77" if first else "127.88.250.78", protocol_port=7 if first else 8,
                            subnet_cidr_id=stage.subnet, name=f"member{last}", weight=9 if first else 10)
        monitor = api.create("healthmonitors", "healthmonitor", pool_id=pool["id"], type="HTTP" if first else "TCP", delay=49 if first else 48,
                             timeout=47 if first else 46, max_retries=10 if first else 9, max_retries_down=8 if first else 7,
                             monitor_port=1 if first else 2, name=f"monitor{last}", admin_state_up=not first,
                             **({"domain_name": "probe.example.com", "url_path": "/up", "expected_codes": "201", "http_method": "HEAD"} if first else {}))
        certificate = stage.certificate("a.example.com" if first else "b.example.com", name=f"certificate{last}", description=f"about certificate{last}",
                                        **({"domain": "a.example.com,c.example.com", "scm_certificate_id": "scs1", "source": "scm",
                                            "protection_status": "consoleProtection", "protection_reason": "listed"} if first else {}))
        security = stage.beside("security-policies", "security_policy", name=f"security{last}", description=f"about security{last}",
                                protocols=["TLSv1.2"] if first else ["TLSv1.3"], ciphers=["AES128-SHA"] if first else ["TLS_AES_128_GCM_SHA256"])
        group = stage.beside("ipgroups", "ipgroup", name=f"group{last}", description=f"about group{last}", ip_list=[{"ip": "10.0.0.0/8"}] if first else [])
        policy = api.create("l7policies", "l7policy", listener_id=found.get("listener", listener["id"]), name=f"policy{last}", description=f"about policy{last}",
                            position=7 if first else 9, priority=77 if first else 79,
                            **({"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool["id"]} if first else
                               {"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "418"}}))
        rule = api.create(f"l7policies/{found.get('policy', policy['id'])}/rules", "rule", compare_type="EQUAL_TO" if first else "STARTS_WITH",
                          **({"type": "HEADER", "key": "x-team", "value": "red"} if first else {"type": "PATH", "value": "/blue"}))
        log = api.create("logtanks", "logtank", loadbalancer_id=lb["id"], log_group_id=f"group{last}", log_topic_id=f"topic{last}")
        before = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="TCP" if first else "UDP", protocol_port=82)
        standby = api.create("master-slave-pools", "pool", listener_id=before["id"], type="instance", vpc_id=stage.vpc, protocol="TCP" if first else "UDP",
                             lb_algorithm="ROUND_ROBIN" if first else "SOURCE_IP", name=f"standby{last}", description=f"about standby{last}",
                             connection_drain={"enable": first, "timeout": 10}, healthmonitor={"type": "TCP" if first else "UDP_CONNECT", "delay": 50, "timeout": 3, "max_retries": 3},
                             members=[{"address": f"127.88.250.{77 if first else 78}", "protocol_port": port, "subnet_cidr_id": stage.subnet, "role": role}
                                      for port, role in ((80, "master"), (81, "slave"))])
        found.update({f"standby{last}": standby["id"], f"standby_listener{last}": before["id"], f"standby_monitor{last}": standby["healthmonitor"]["id"]})
        found.update({f"certificate{last}": certificate["id"], f"security{last}": security["id"], f"group{last}": group["id"],
                      f"policy{last}": policy["id"], f"rule{last}": rule["id"], f"log{last}": log["id"]})
        found.update({f"lb{last}": lb["id"], f"listener{last}": listener["id"], f"pool{last}": pool["id"], f"member{last}": member["id"],
                      f"monitor{last}": monitor["id"]})
    yield found
    stage.close()


def ours(world, operation):
    """The world's first and second object in that list, as the list shows them."""
    path, plural = LISTS[operation]
    noun = {"loadbalancers": "lb", "listeners": "listener", "pools": "pool", "members": "member", "healthmonitors": "monitor",
            "certificates": "certificate", "security_policies": "security", "ipgroups": "group", "l7policies": "policy", "rules": "rule",
            "logtanks": "log", "master-slave-pools": "standby"}.get(path if operation == "ListMasterSlavePools" else plural)
    items = world["stage"].api.list(path.format(pool=world["pool"], policy=world["policy"]), plural)
    if noun is None:
        return items[0], items[-1]
    return next(item for item in items if item["id"] == world[noun]), next((item for item in items if item["id"] == world[noun + "_2"]), None)


def matching(world, operation, name, item):
    """A value of that filter which must find `item`; None where nothing can."""
    if (operation, name) in DERIVED:
        return DERIVED[operation, name](world)
    if name in NOTHING:
        return None
    value = item[name]
    assert value is not None, f"the world's object has no {name}"
    return str(value).lower() if isinstance(value, bool) else value


def other_value(kind, name, value):
    """A legal value that `item` does not have."""
    if name in STRUCTS:
        return STRUCTS[name]
    if kind == "boolean" or value in ("true", "false"):
        return "false" if value == "true" else "true"
    if name == "ip_version":
        return 6 if value == 4 else "v6"
    if name == "autoscaling":
        return "enable=true"
    if name == "pool_health":
        return "minimum_healthy_member_count=0"
    if kind == "integer" or isinstance(value, int) or name == "protocol_port":
        return int(value or 7) + 1
    if name == "az_affinity":
        return "enable=true"
    return "00000000-0000-4000-8000-000000000000"


@pytest.mark.covers("ListLoadBalancers", "ListListeners", "ListPools", "ListMembers", "ListAllMembers", "ListHealthMonitors", "ListFlavors",
                    "ListCertificates", "ListSecurityPolicies", "ListIpGroups", "ListL7Policies", "ListL7Rules", "ListAllL7Rules", "ListLogtanks",
                    "ListMasterSlavePools")
@pytest.mark.parametrize("operation, name, kind", FILTERS, ids=[f"{operation}-{name}" for operation, name, _ in FILTERS])
def test_every_filter_finds_what_matches_and_only_that(world, operation, name, kind):
    path, plural = LISTS[operation]
    path = path.format(pool=world["pool"], policy=world["policy"])
    api = world["stage"].api
    item, _ = ours(world, operation)

    def ids(value):
        return [found["id"] for found in api.list(path, plural, **{name: value})]
    if name in SWITCHES:
        assert item["id"] in ids("true") and item["id"] in ids("false")
        return
    if operation == "ListPools" and name == "connection_drain":
        item = ours(world, operation)[1]
    if operation == "ListPools" and name == "az_affinity":
        assert item["id"] not in ids("enable=true")
        return
    value = matching(world, operation, name, item)
    if value is not None:
        assert item["id"] in ids(value), f"{name}={value}"
    assert item["id"] not in ids(other_value(kind, name, value)), f"{name} chose an object of another value ({value})"


def test_a_repeated_key_is_or_and_different_keys_are_and(world):
    api = world["stage"].api

    def ids(*query):
        return {lb["id"] for lb in api.elb("GET", "loadbalancers", query=query).json["loadbalancers"]}
    assert ids(("id", world["lb"]), ("id", world["lb_2"])) == {world["lb"], world["lb_2"]}
    assert ids(("name", "lb"), ("id", world["lb"])) == {world["lb"]}
    assert ids(("name", "lb_2"), ("id", world["lb"])) == set()
    assert ids(("name", "LB"), ("id", world["lb"])) == set(), "case counts"


BAD_QUERIES = [("admin_state_up", "yes"), ("limit", "-1"), ("limit", "2001"), ("limit", "many"), ("page_reverse", "maybe")]


@pytest.mark.parametrize("name, value", BAD_QUERIES)
def test_values_that_cannot_be_read_are_named(world, name, value):
    reply = world["stage"].api.elb("GET", "loadbalancers", query={name: value})
    assert (reply.status, reply.code) == (400, "ELB.8902") and name in reply.message, reply.text


@pytest.mark.parametrize("value", ["", "not-a-uuid", "00000000-0000-4000-8000-000000000000"])
def test_a_marker_must_be_an_object_of_the_list(world, value):
    reply = world["stage"].api.elb("GET", "loadbalancers", query={"limit": 1, "marker": value})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "marker" in reply.message, reply.text


def test_unknown_query_keys_are_ignored(world):
    assert world["stage"].api.elb("GET", "loadbalancers", query={"surprise": "x"}).status == 200


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_booleans_in_any_case(world, value):
    ids = [lb["id"] for lb in world["stage"].api.list("loadbalancers", "loadbalancers", admin_state_up=value)]
    assert world["lb"] in ids and world["lb_2"] not in ids


def test_paging_forward_and_back_sees_everything_once_in_order(elb, stage):
    front = stage.front()
    pool = front.pool["id"]
    for last in range(1, 8):
        elb.create("Member", of=pool, address=f"127.88.251.{last}", protocol_port=80, subnet_cidr_id=stage.subnet)
    whole = [item.id for item in elb.list("ListMembers", pool_id=pool).members]
    assert whole == sorted(whole) and len(whole) == 7
    pages, marker = [], None
    while True:
        page = elb.list("ListMembers", pool_id=pool, limit=3, **({"marker": marker} if marker else {}))
        ids = [item.id for item in page.members]
        assert page.page_info.current_count == len(ids)
        if ids:
            assert page.page_info.previous_marker == ids[0]
        pages.append(page)
        marker = page.page_info.next_marker
        if not marker:
            break
        assert marker == ids[-1]
    assert [item.id for page in pages for item in page.members] == whole
    assert [len(page.members) for page in pages if page.members] == [3, 3, 1]
    back = elb.list("ListMembers", pool_id=pool, limit=3, marker=pages[2].page_info.previous_marker, page_reverse=True)
    assert [item.id for item in back.members] == whole[3:6], "the page before, in ascending order"
    first = elb.list("ListMembers", pool_id=pool, limit=3, marker=back.page_info.previous_marker, page_reverse=True)
    assert [item.id for item in first.members] == whole[0:3]


def test_limit_zero_is_the_default(world):
    api = world["stage"].api
    assert len(api.list("loadbalancers", "loadbalancers", limit=0)) >= 2


def test_an_empty_page(api, stage):
    front = stage.front()
    reply = api.elb("GET", f"pools/{front.pool['id']}/members").json
    assert reply["members"] == [] and reply["page_info"]["current_count"] == 0
    assert reply["page_info"].get("previous_marker") is None and reply["page_info"].get("next_marker") is None


def test_lists_show_only_ones_own_project(fulcrum, world):
    from harness import config
    from harness.api import Api
    other = Api.account(fulcrum, config.SECOND_TENANT)
    for operation, (path, plural) in LISTS.items():
        if operation not in ("ListMembers", "ListFlavors", "ListL7Rules"):
            assert other.list(path, plural) == [], operation
