"""Members through the vendor's client: single and in batches."""

import pytest
from huaweicloudsdkelb import v3

from harness.sdk import refused_with


@pytest.mark.covers("CreateMember", "ShowMember", "ListMembers", "ListAllMembers")
def test_a_new_member_has_the_documented_defaults(elb, stage):
    front = stage.front()
    made = elb.create("Member", of=front.pool["id"], address="127.88.250.40", protocol_port=80, subnet_cidr_id=stage.subnet)
    shown = elb.show("Member", made.id, of=front.pool["id"])
    assert shown.to_dict() == made.to_dict()
    expected = {"name": "", "weight": 1, "admin_state_up": True, "address": "127.88.250.40", "protocol_port": 80, "subnet_cidr_id": stage.subnet,
                "operating_status": "NO_MONITOR", "member_type": "instance", "ip_version": "v4", "project_id": stage.api.project_id}
    assert {key: getattr(shown, key) for key in expected} == expected
    assert [(item.listener_id, item.operating_status) for item in shown.status] == [(front.listener["id"], "NO_MONITOR")]
    assert [item.id for item in elb.list("ListMembers", pool_id=front.pool["id"]).members] == [made.id]
    assert [item.id for item in elb.list("ListAllMembers", pool_id=[front.pool["id"]]).members] == [made.id]
    assert [ref.id for ref in elb.show("Pool", front.pool["id"]).members] == [made.id]


@pytest.mark.covers("CreateMember")
def test_address_and_port_are_unique_in_a_pool(elb, stage):
    pool = stage.front().pool["id"]
    elb.create("Member", of=pool, address="127.88.250.41", protocol_port=80, subnet_cidr_id=stage.subnet)
    refused_with(409, "ELB.8907", elb.create, "Member", of=pool, address="127.88.250.41", protocol_port=80, subnet_cidr_id=stage.subnet)
    elb.create("Member", of=pool, address="127.88.250.41", protocol_port=81, subnet_cidr_id=stage.subnet)


@pytest.mark.covers("UpdateMember")
def test_an_update_changes_what_it_names_and_nothing_else(elb, stage):
    pool = stage.front().pool["id"]
    made = elb.create("Member", of=pool, name="kept", address="127.88.250.42", protocol_port=80, subnet_cidr_id=stage.subnet)
    changed = elb.update("Member", made.id, of=pool, weight=0, protocol_port=8080)
    assert (changed.weight, changed.protocol_port, changed.name) == (0, 8080, "kept")


@pytest.mark.covers("DeleteMember")
def test_a_deleted_member_is_gone(elb, stage):
    pool = stage.front().pool["id"]
    made = elb.create("Member", of=pool, address="127.88.250.43", protocol_port=80, subnet_cidr_id=stage.subnet)
    elb.delete("Member", made.id, of=pool)
    refused_with(404, "ELB.8904", elb.show, "Member", made.id, of=pool)
    refused_with(404, "ELB.8904", elb.delete, "Member", made.id, of=pool)


def test_a_member_is_found_only_in_its_own_pool(elb, stage):
    first, second = stage.front(), stage.front()
    made = elb.create("Member", of=first.pool["id"], address="127.88.250.44", protocol_port=80, subnet_cidr_id=stage.subnet)
    refused_with(404, "ELB.8904", elb.show, "Member", made.id, of=second.pool["id"])


ADDRESSES = [
    ("outside the subnet", "127.89.0.1", {}, 400, "ELB.8902"),
    ("no address", "not-an-address", {}, 400, "ELB.8902"),
    ("no port", "127.88.250.45", {"protocol_port": None}, 400, "ELB.8902"),
    ("port 0", "127.88.250.45", {"protocol_port": 0}, 400, "ELB.8902"),
    ("port too high", "127.88.250.45", {"protocol_port": 65536}, 400, "ELB.8902"),
    ("weight too high", "127.88.250.45", {"weight": 101}, 400, "ELB.8902"),
    ("weight below 0", "127.88.250.45", {"weight": -1}, 400, "ELB.8902"),
    ("subnet unknown", "127.88.250.45", {"subnet_cidr_id": "00000000-0000-4000-8000-000000000000"}, 404, "ELB.8904"),
    ("IP target while that is off", "10.0.0.1", {"subnet_cidr_id": None}, 400, "ELB.8939"),
]


@pytest.mark.parametrize("why, address, fields, status, code", ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_addresses_and_ranges(api, stage, why, address, fields, status, code):
    front = stage.front()
    body = {"address": address, "protocol_port": 80, "subnet_cidr_id": stage.subnet, **fields}
    body = {key: value for key, value in body.items() if value is not None}
    reply = api.elb("POST", f"pools/{front.pool['id']}/members", {"member": body})
    assert (reply.status, reply.code) == (status, code), reply.text


def test_ip_targets_once_they_are_on(api, member, stage):
    server = member("outside", address="127.0.0.1")
    front = stage.front(load_balancer=stage.load_balancer(ip_target_enable=True))
    made = api.create(f"pools/{front.pool['id']}/members", "member", address="127.0.0.1", protocol_port=server.port)
    assert (made["member_type"], made["subnet_cidr_id"]) == ("ip", None)
    assert front.get().body == b"outside"
    reply = api.elb("PUT", f"loadbalancers/{front.load_balancer['id']}", {"loadbalancer": {"ip_target_enable": False}})
    assert (reply.status, reply.code) == (400, "ELB.8902"), "once on it stays on"


def option(last, port=80, **more):
    """An item of batch-add."""
    return {"address": f"127.88.250.{last}", "protocol_port": port, **more}


@pytest.mark.covers("BatchCreateMembers")
def test_batch_add_tells_new_from_existing(elb, stage):
    pool = stage.front().pool["id"]
    there = elb.create("Member", of=pool, subnet_cidr_id=stage.subnet, **option(60))
    items = [v3.BatchCreateMembersOption(subnet_cidr_id=stage.subnet, **option(last)) for last in (60, 61, 62)]
    answer = elb.call("BatchCreateMembers", pool_id=pool, body=v3.BatchCreateMembersRequestBody(members=items))
    assert [(item.address, item.ret_status) for item in answer.members] == [
        ("127.88.250.60", "existed"), ("127.88.250.61", "successful"), ("127.88.250.62", "successful")]
    assert answer.members[0].id == there.id
    assert len(elb.list("ListMembers", pool_id=pool).members) == 3


@pytest.mark.covers("BatchUpdateMembers")
def test_batch_update_changes_each(elb, stage):
    pool = stage.front().pool["id"]
    ids = [elb.create("Member", of=pool, subnet_cidr_id=stage.subnet, **option(last)).id for last in (63, 64)]
    items = [v3.BatchUpdateMembersOption(id=id, weight=weight) for id, weight in zip(ids, (5, 6))]
    answer = elb.call("BatchUpdateMembers", pool_id=pool, body=v3.BatchUpdateMembersRequestBody(members=items))
    assert [(item.id, item.weight) for item in answer.members] == list(zip(ids, (5, 6)))
    assert [elb.show("Member", id, of=pool).weight for id in ids] == [5, 6]


@pytest.mark.covers("BatchDeleteMembers")
def test_batch_delete_takes_ids_or_addresses(elb, api, stage):
    pool = stage.front().pool["id"]
    ids = [elb.create("Member", of=pool, subnet_cidr_id=stage.subnet, **option(last)).id for last in (65, 66, 67)]
    unknown = "00000000-0000-4000-8000-000000000000"
    items = [v3.BatchDeleteMembersOption(id=ids[0]), v3.BatchDeleteMembersOption(**option(66)), v3.BatchDeleteMembersOption(id=unknown)]
    answer = elb.call("BatchDeleteMembers", pool_id=pool, body=v3.BatchDeleteMembersRequestBody(members=items))
    assert [item.ret_status for item in answer.members] == ["successful", "successful", "not found"]
    assert [item.id for item in elb.list("ListMembers", pool_id=pool).members] == [ids[2]]
    both = api.elb("POST", f"pools/{pool}/members/batch-delete", {"members": [{"id": ids[2], **option(67)}]})
    assert (both.status, both.code) == (400, "ELB.8902")


@pytest.mark.parametrize("what, method", [("batch-add", option), ("batch-update", None), ("batch-delete", None)])
def test_batches_are_limited_and_all_or_nothing(api, stage, what, method):
    pool = stage.front().pool["id"]
    items = [{"address": f"127.88.249.{n}", "protocol_port": 80, "subnet_cidr_id": stage.subnet} if method else {"id": f"00000000-0000-4000-8000-{n:012}"}
             for n in range(201)]
    reply = api.elb("POST", f"pools/{pool}/members/{what}", {"members": items})
    assert (reply.status, reply.code) == (400, "ELB.8902"), reply.text
    assert api.list(f"pools/{pool}/members", "members") == []


def test_one_bad_item_refuses_the_whole_batch(api, stage):
    pool = stage.front().pool["id"]
    items = [{"subnet_cidr_id": stage.subnet, **option(68)}, {"subnet_cidr_id": stage.subnet, **option(69, weight=101)}]
    reply = api.elb("POST", f"pools/{pool}/members/batch-add", {"members": items})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "weight" in reply.message
    assert api.list(f"pools/{pool}/members", "members") == []


def test_a_member_under_no_listener_is_unknown(api, stage):
    lb = stage.load_balancer()
    pool = api.create("pools", "pool", loadbalancer_id=lb["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN")
    made = api.create(f"pools/{pool['id']}/members", "member", subnet_cidr_id=stage.subnet, **option(70))
    assert made["operating_status"] in ("UNKNOWN", "NO_MONITOR") and made["status"] == []
    api.create("healthmonitors", "healthmonitor", pool_id=pool["id"], type="TCP", delay=1, timeout=1, max_retries=1)
    assert api.show(f"pools/{pool['id']}/members/{made['id']}", "member")["operating_status"] == "UNKNOWN"
