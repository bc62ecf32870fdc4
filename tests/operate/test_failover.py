"""Members that die, hang, or take no connections: the others have the work, and the monitor's thresholds say from when on without a try."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.http_member import HttpMember
from harness.load import Load
from harness.members import EchoMember, GreetMember
from harness.metrics import scrape, total
from harness.process_member import ProcessMember
from harness.wait import eventually, holds

DOWN_AFTER = 3
MONITOR = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 2, "max_retries_down": DOWN_AFTER}
# Three probes that each begin after a second and take one, and what a busy machine adds.
WITHIN = DOWN_AFTER * 2 + 10


@pytest.fixture
def frail(member):
    """A member in a process of its own: `frail("a", kind="http")`."""
    return lambda name="frail", kind="http": member(name, kind=lambda name: ProcessMember(name, kind=kind))


def pair(stage, frail, sound, *, monitor=MONITOR, **options):
    """A listener before the two, when both are known to be well."""
    front = stage.front([frail, sound], monitor=monitor, **options)
    if monitor:
        front.wait_status(frail, "ONLINE")
        front.wait_status(sound, "ONLINE")
    return front


@contextlib.contextmanager
def greeting(front):
    """A connection that stays, and who is at its other end."""
    with front.connect() as made:
        yield made.until(b"\n").decode(), made


def test_a_killed_member_costs_no_request(frail, member, stage):
    dying, sound = frail("dying"), member("sound")
    front = pair(stage, dying, sound)
    with Load(front.where) as load:
        eventually(lambda: load.done > 200, what="there is load")
        dying.kill()
        shown = front.wait_status(dying, "OFFLINE", within=WITHIN)
        assert shown["reason"]["reason_code"] == "CONNECT_REFUSED"
        dying.start()
        front.wait_status(dying, "ONLINE", within=WITHIN)
        seen = load.done
        eventually(lambda: load.done > seen + 200, what="and goes on")
    assert load.failures == [], load.failures[:3]
    assert "dying" in front.names(10), "it works again"


def test_a_killed_member_ends_its_own_connections_alone(frail, member, stage):
    dying, sound = frail("dying", "greet"), member("sound", kind=GreetMember)
    front = pair(stage, dying, sound, protocol="TCP")
    with contextlib.ExitStack() as kept:
        flows = [kept.enter_context(greeting(front)) for _ in range(20)]
        assert {name for name, _ in flows} == {"dying", "sound"}
        dying.kill()
        for name, flow in flows:
            if name == "dying":
                assert flow.is_closed()
        for _ in range(20):
            with greeting(front) as (name, _):
                assert name == "sound"
        for name, flow in flows:
            if name == "sound":
                flow.socket.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    flow.socket.recv(1)


def test_a_member_that_hangs_costs_time_and_then_nothing(frail, member, stage):
    """Until the monitor knows, a request that is with it is asked again of another when its time is over; from then on none goes there."""
    hanging, sound = frail("hanging"), member("sound")
    front = pair(stage, hanging, sound, listener={"member_timeout": 1}, monitor={**MONITOR, "type": "HTTP"})
    with Load(front.where) as load:
        eventually(lambda: load.done > 200, what="there is load")
        hanging.pause()
        shown = front.wait_status(hanging, "OFFLINE", within=WITHIN)
        assert shown["reason"]["reason_code"] in ("RECV_RESPONSE_TIMEOUT", "CONNECT_TIMEOUT")
        assert set(front.names(50)) == {"sound"}
        hanging.resume()
        front.wait_status(hanging, "ONLINE", within=WITHIN)
        seen = load.done
        eventually(lambda: load.done > seen + 200, what="it goes on")
    assert load.failures == [], load.failures[:3]
    assert "hanging" in front.names(10), "it works again"


def test_a_pause_below_the_threshold_changes_nothing(frail, member, stage):
    hanging, sound = frail("hanging"), member("sound")
    front = pair(stage, hanging, sound, monitor={**MONITOR, "type": "HTTP", "max_retries_down": 10})
    hanging.pause()
    holds(lambda: front.status(hanging)["operating_status"] == "ONLINE", during=4, what="a few failures are no verdict")
    hanging.resume()
    assert "hanging" in front.names(10)


def test_connections_to_a_member_that_hangs_go_on_when_it_does(frail, member, stage):
    hanging, sound = frail("hanging", "echo"), member("sound", kind=EchoMember)
    front = stage.front([hanging], protocol="TCP")
    with front.connect() as flow:
        assert flow.send(b"a").exactly(1) == b"a"
        monitor = stage.monitor(front.pool["id"], **MONITOR)
        front.add(sound)
        front.wait_status(hanging, "ONLINE")
        with hanging.full():
            flow.send(b"waits")
            front.wait_status(hanging, "OFFLINE", within=WITHIN)
            for _ in range(10):
                with front.connect() as other:
                    other.finish()
                    assert other.rest() == b"<sound>"
        assert flow.exactly(5) == b"waits"
        assert flow.send(b"b").exactly(1) == b"b"
    stage.api.delete(f"healthmonitors/{monitor['id']}")


@pytest.mark.parametrize("protocol, kind", [("HTTP", HttpMember), ("TCP", GreetMember)])
def test_who_meets_a_full_queue_is_served_by_another(fulcrum, frail, member, stage, protocol, kind):
    """Nobody answers the connect; when its time is over (5 s) the next member is asked."""
    full, sound = frail("full", "http" if protocol == "HTTP" else "greet"), member("sound", kind=kind)
    front = pair(stage, full, sound, protocol=protocol, monitor=None)

    def served():
        with front.connect() as client:
            return client.ask().body.decode() if protocol == "HTTP" else client.until(b"\n").decode()
    with full.full(), ThreadPoolExecutor(8) as clients:
        assert list(clients.map(lambda _: served(), range(8))) == ["sound"] * 8
    assert total(scrape(fulcrum), "fulcrum_member_connect_failures_total", member=front.members["full"]) > 0, "some tried the full one first"
    eventually(lambda: "full" in [served(), served()], within=20, what="its queue has room again")


def test_a_full_queue_is_seen_by_the_monitor(frail, member, stage):
    full, sound = frail("full"), member("sound")
    front = pair(stage, full, sound)
    with full.full():
        shown = front.wait_status(full, "OFFLINE", within=WITHIN)
        assert shown["reason"]["reason_code"] == "CONNECT_TIMEOUT"
        assert set(front.names(50)) == {"sound"}
    front.wait_status(full, "ONLINE", within=WITHIN)
    assert "full" in front.names(10)
