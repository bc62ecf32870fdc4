"""Members that fail the work that they are given are left out for a while, where their pool wants that."""

import pytest

from harness.members import ScriptMember, answers
from harness.metrics import scrape, total
from harness.wait import eventually

FAILED = b"HTTP/1.1 503 Failed\r\nContent-Length: 0\r\n\r\n"


def failing(member):
    return member("bad", kind=ScriptMember, script=answers(FAILED, then="again"))


@pytest.mark.parametrize("monitor, well", [(None, "NO_MONITOR"), ({"type": "TCP"}, "ONLINE")], ids=["not probed", "probed"])
def test_a_member_that_answers_with_errors_is_left_out_and_comes_back(fulcrum, member, stage, monitor, well):
    bad, good = failing(member), member("good")
    detection = {"server_errors": 3, "ejection_time": 2, "ejected_percent_max": 50}
    front = stage.front([bad, good], pool={"outlier_detection": detection}, monitor=monitor)
    front.wait_status(bad, well)
    front.wait_status(good, well)

    def left_out():
        front.get()
        seen = front.status(bad)
        return seen if seen["operating_status"] == "OFFLINE" else None
    shown = eventually(left_out, what="it is left out")
    assert shown["reason"]["reason_code"] == "RESPONSE_MISMATCH"
    assert front.status(good)["operating_status"] == well
    counted = total(scrape(fulcrum), "fulcrum_member_ejections_total", member=front.members["bad"])
    assert counted >= 1
    front.wait_status(bad, well)
    had = len(bad.received)
    eventually(lambda: front.get() and len(bad.received) > had, what="it is tried again")


def test_who_is_left_out_gets_no_work(member, stage):
    bad, good = failing(member), member("good")
    front = stage.front([bad, good], pool={"outlier_detection": {"server_errors": 2, "ejection_time": 300}})
    eventually(lambda: front.get() and front.status(bad)["operating_status"] == "OFFLINE", what="it is left out")
    assert set(front.names(20)) == {"good"}
    front.edit_pool(outlier_detection=None)
    assert front.status(bad)["operating_status"] == "NO_MONITOR"
    assert {front.get().status for _ in range(10)} == {200, 503}


def test_errors_alone_leave_nobody_out(member, stage):
    bad, good = failing(member), member("good")
    front = stage.front([bad, good])
    assert [front.get().status for _ in range(40)].count(503) >= 15
    assert front.status(bad)["operating_status"] == "NO_MONITOR"
