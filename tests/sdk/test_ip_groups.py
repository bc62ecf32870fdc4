"""IP groups through the vendor's client."""

import pytest
from huaweicloudsdkelb import v3

from harness.sdk import refused_with


def entries(*spans, **described):
    """Entries of a create."""
    return [v3.CreateIpGroupIpOption(ip=span) for span in spans] + [v3.CreateIpGroupIpOption(ip=span, description=text) for span, text in described.items()]


def shown(group):
    """Entries as pairs."""
    return [(entry.ip, entry.description) for entry in group.ip_list]


@pytest.mark.covers("CreateIpGroup", "ShowIpGroup")
def test_entries_are_addresses_networks_and_ranges_in_one_spelling(elb, stage):
    given = entries("10.0.0.1/32", "10.1.2.3/8", "::1/128", "2001:DB8::/32", "1.2.3.4-1.2.3.9", "10.0.0.1")
    made = elb.create("IpGroup", name="office", description="inside", ip_list=given)
    stage.remember_beside("ipgroups", made.id)
    assert [ip for ip, _ in shown(made)] == ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "1.2.3.4-1.2.3.9"], "a span twice counts once"
    assert elb.show("IpGroup", made.id).to_dict() == made.to_dict()
    assert (made.name, made.description, made.listeners, made.enterprise_project_id) == ("office", "inside", [], "0")


BAD = [("no address", "example.com"), ("half an address", "10.0.0"), ("too long a prefix", "10.0.0.0/33"), ("a falling range", "10.0.0.9-10.0.0.1"),
       ("a range of two families", "10.0.0.1-::1"), ("nothing", "")]


@pytest.mark.parametrize("why, ip", BAD, ids=[row[0] for row in BAD])
def test_what_is_no_span_is_refused(api, why, ip):
    reply = api.elb("POST", "ipgroups", {"ipgroup": {"ip_list": [{"ip": "10.0.0.1"}, {"ip": ip}]}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "ip_list[1]" in reply.message, reply.text


def test_a_list_is_needed_and_may_be_empty(api, stage):
    assert api.elb("POST", "ipgroups", {"ipgroup": {"name": "x"}}).status == 400
    assert stage.beside("ipgroups", "ipgroup", ip_list=[])["ip_list"] == []


@pytest.mark.covers("UpdateIpGroup")
def test_an_update_replaces_the_whole_list(elb, stage):
    group = stage.beside("ipgroups", "ipgroup", name="before", description="kept", ip_list=[{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}])
    changed = elb.update("IpGroup", group["id"], name="after", ip_list=[v3.UpdateIpGroupIpOption(ip="10.0.0.3", description="new")])
    assert (changed.name, changed.description, shown(changed)) == ("after", "kept", [("10.0.0.3", "new")])
    named = elb.update("IpGroup", group["id"], name="again")
    assert shown(named) == [("10.0.0.3", "new")], "what is not named stays"


@pytest.mark.covers("UpdateIpList", "BatchDeleteIpList")
def test_entries_are_added_described_and_removed(elb, stage):
    group = stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.1", "description": "one"}, {"ip": "10.0.0.2"}])
    added = v3.UpdateIpListOption(ip_list=[v3.UpdateIpGroupIpOption(ip="10.0.0.2/32", description="two"), v3.UpdateIpGroupIpOption(ip="10.0.0.3")])
    changed = elb.call("UpdateIpList", ipgroup_id=group["id"], body=v3.UpdateIpListRequestBody(ipgroup=added)).ipgroup
    assert shown(changed) == [("10.0.0.1", "one"), ("10.0.0.2", "two"), ("10.0.0.3", "")], "nothing is removed"
    gone = v3.BatchDeleteIpListOption(ip_list=[v3.IpGroupIp(ip="10.0.0.1"), v3.IpGroupIp(ip="10.9.9.9")])
    left = elb.call("BatchDeleteIpList", ipgroup_id=group["id"], body=v3.BatchDeleteIpListRequestBody(ipgroup=gone)).ipgroup
    assert shown(left) == [("10.0.0.2", "two"), ("10.0.0.3", "")]


@pytest.mark.covers("DeleteIpGroup", "ShowIpGroupRelatedListeners")
def test_a_group_in_use_stays_and_tells_by_whom(elb, stage):
    group, other = (stage.beside("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.0/8"}]) for _ in range(2))
    lb = stage.load_balancer()
    both = v3.CreateListenerIpGroupOption(ipgroup_id=f"{group['id']},{other['id']}", type="black")
    listener = elb.create("Listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=9000, ipgroup=both)
    assert (listener.ipgroup.ipgroup_id, listener.ipgroup.enable_ipgroup, listener.ipgroup.type) == (f"{group['id']},{other['id']}", True, "black")
    for one in (group, other):
        assert [ref.id for ref in elb.show("IpGroup", one["id"]).listeners] == [listener.id]
        assert [ref.id for ref in elb.call("ShowIpGroupRelatedListeners", ipgroup_id=one["id"]).listeners] == [listener.id]
        error = refused_with(409, "ELB.8907", elb.delete, "IpGroup", one["id"])
        assert listener.id in error.error_msg
    alone = elb.update("Listener", listener.id, ipgroup=v3.UpdateListenerIpGroupOption(ipgroup_id=other["id"], enable_ipgroup=False))
    assert (alone.ipgroup.ipgroup_id, alone.ipgroup.enable_ipgroup, alone.ipgroup.type) == (other["id"], False, "black"), "the rest stays"
    elb.delete("IpGroup", group["id"])
    assert stage.api.update(f"listeners/{listener.id}", "listener", ipgroup=None)["ipgroup"] is None
    assert elb.call("ShowIpGroupRelatedListeners", ipgroup_id=other["id"]).listeners == []
    elb.delete("IpGroup", other["id"])


def test_a_listener_with_a_group_can_be_deleted(elb, stage):
    group = stage.beside("ipgroups", "ipgroup", ip_list=[])
    listener = elb.create("Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTP", protocol_port=80,
                          ipgroup=v3.CreateListenerIpGroupOption(ipgroup_id=group["id"]))
    assert (listener.ipgroup.enable_ipgroup, listener.ipgroup.type) == (True, "white")
    elb.delete("Listener", listener.id)
    elb.delete("IpGroup", group["id"])


def test_a_group_that_is_not_there_is_refused(elb, stage):
    refused_with(404, "ELB.8904", elb.create, "Listener", loadbalancer_id=stage.load_balancer()["id"], protocol="HTTP", protocol_port=80,
                 ipgroup=v3.CreateListenerIpGroupOption(ipgroup_id="00000000-0000-4000-8000-000000000000"))


@pytest.mark.covers("ListIpGroups")
def test_the_list_shows_groups_as_show_does(elb, stage):
    group = stage.beside("ipgroups", "ipgroup", name="listed", ip_list=[{"ip": "10.0.0.0/8"}])
    found = elb.list("ListIpGroups", name=["listed"], ip_list=["10.0.0.0/8"])
    assert [item.to_dict() for item in found.ipgroups] == [elb.show("IpGroup", group["id"]).to_dict()]
    assert elb.list("ListIpGroups", name=["listed"], ip_list=["10.0.0.1"]).ipgroups == []


def test_a_group_has_as_many_entries_as_the_quota_says(start):
    from harness import config
    from harness.stage import Stage
    stage = Stage(start(config=config.quotas(ipgroup_max_length=3)))
    three = [{"ip": f"10.0.0.{last}"} for last in range(3)]
    group = stage.beside("ipgroups", "ipgroup", ip_list=[*three, {"ip": "10.0.0.0/32"}])
    assert len(group["ip_list"]) == 3, "a span twice counts once"
    reply = stage.api.elb("POST", "ipgroups", {"ipgroup": {"ip_list": [*three, {"ip": "::1"}]}})
    assert (reply.status, reply.code) == (409, "ELB.8905"), reply.text
    reply = stage.api.elb("POST", f"ipgroups/{group['id']}/iplist/create-or-update", {"ipgroup": {"ip_list": [{"ip": "::1"}]}})
    assert (reply.status, reply.code) == (409, "ELB.8905"), reply.text
