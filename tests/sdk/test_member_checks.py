"""Health checks of a member on demand, with the SDK."""

import pytest

from harness.sdk import refused_with
from harness.wait import eventually


def check(elb, front, member, subject="all"):
    """Begins a check of a member and waits for its end; the job."""
    body = {"member_check": {"listener_id": front.listener["id"], "subject": subject}}
    job = elb.call("CreateMemberHealthCheckJob", member_id=front.members[member.name], body=body).member_check.job_id

    def ended():
        seen = elb.call("ShowMemberHealthCheckJob", job_id=job).member_check
        return seen if seen.status != "processing" else None
    return eventually(ended, what="the check has ended")


@pytest.mark.covers("CreateMemberHealthCheckJob", "ShowMemberHealthCheckJob")
def test_a_healthy_member_has_nothing_to_find(elb, member, stage):
    one = member("one")
    found = check(elb, stage.front([one], monitor={"delay": 1}), one)
    assert found.status == "processed" and found.result.config.check_result, found
    assert found.result.config.check_items == [] and found.check_item_finished_num == found.check_item_total_num


def test_what_a_probe_finds_is_said_in_words(elb, member, stage):
    one = member("one")
    front = stage.front([one], monitor={"delay": 50})
    front.wait_status(one, "ONLINE")
    one.refuse()
    found = check(elb, front, one)
    assert not found.result.config.check_result
    assert any("refused" in item.reason and str(one.port) in item.reason for item in found.result.config.check_items), found
    assert front.status(one)["operating_status"] == "ONLINE", "a check on demand changes no verdict"


def test_settings_that_keep_traffic_away_are_found(elb, member, stage):
    one = member("one")
    front = stage.front([one], weights={0: 0})
    reasons = [item.reason for item in check(elb, front, one).result.config.check_items]
    assert any("weight is 0" in reason for reason in reasons) and any("not probed" in reason for reason in reasons), reasons


def test_a_job_that_nobody_began_is_not_found(elb):
    refused_with(404, "ELB.8904", elb.call, "ShowMemberHealthCheckJob", job_id="00000000-0000-4000-8000-000000000000")
