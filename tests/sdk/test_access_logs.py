"""Access logs of load balancers through the vendor's client."""

import pytest

from harness.sdk import refused_with


@pytest.mark.covers("CreateLogtank", "ShowLogtank", "UpdateLogtank", "DeleteLogtank", "ListLogtanks")
def test_a_load_balancer_has_one_log(elb, stage):
    lb = stage.load_balancer()["id"]
    made = elb.create("Logtank", loadbalancer_id=lb, log_group_id="group", log_topic_id="topic")
    assert (made.loadbalancer_id, made.log_group_id, made.log_topic_id) == (lb, "group", "topic")
    assert elb.show("Logtank", made.id).to_dict() == made.to_dict()
    error = refused_with(409, "ELB.8907", elb.create, "Logtank", loadbalancer_id=lb, log_group_id="g", log_topic_id="t")
    assert made.id in error.error_msg
    changed = elb.update("Logtank", made.id, log_topic_id="other")
    assert (changed.log_group_id, changed.log_topic_id) == ("group", "other")
    for query, hit in (({"log_topic_id": ["other"]}, True), ({"log_topic_id": ["topic"]}, False), ({"loadbalancer_id": [lb]}, True)):
        assert [item.id for item in elb.list("ListLogtanks", id=[made.id], **query).logtanks] == ([made.id] if hit else []), query
    reply = stage.api.elb("PUT", f"logtanks/{made.id}", {"logtank": {"loadbalancer_id": lb}})
    assert (reply.status, reply.code) == (400, "ELB.8902") and "loadbalancer_id" in reply.message
    elb.delete("Logtank", made.id)
    refused_with(404, "ELB.8904", elb.show, "Logtank", made.id)
    elb.create("Logtank", loadbalancer_id=lb, log_group_id="group", log_topic_id="topic")


def test_a_log_goes_with_its_load_balancer(elb, stage):
    lb = stage.load_balancer()["id"]
    made = elb.create("Logtank", loadbalancer_id=lb, log_group_id="group", log_topic_id="topic")
    shown = elb.show("LoadBalancer", lb)
    assert (shown.log_group_id, shown.log_topic_id) == ("group", "topic")
    elb.delete("LoadBalancer", lb)
    refused_with(404, "ELB.8904", elb.show, "Logtank", made.id)


@pytest.mark.parametrize("field", ["loadbalancer_id", "log_group_id", "log_topic_id"])
def test_all_three_fields_are_needed(api, stage, field):
    fields = {"loadbalancer_id": stage.load_balancer()["id"], "log_group_id": "g", "log_topic_id": "t"}
    del fields[field]
    reply = api.elb("POST", "logtanks", {"logtank": fields})
    assert (reply.status, reply.code) == (400, "ELB.8902") and field in reply.message
