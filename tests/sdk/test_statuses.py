"""The status tree: what is up, degraded or disabled, from the load balancer down to each member."""

import pytest

from harness.wait import eventually


def tree(api, front):
    """The load balancer's tree."""
    return api.elb("GET", f"loadbalancers/{front.load_balancer['id']}/statuses").json["statuses"]["loadbalancer"]


def operating(api, front):
    """(load balancer, listener, pool, member) operating status."""
    top = tree(api, front)
    listener = top["listeners"][0]
    pool = listener["pools"][0]
    return top["operating_status"], listener["operating_status"], pool["operating_status"], pool["members"][0]["operating_status"]


@pytest.mark.covers("ShowLoadBalancerStatus")
def test_the_tree_names_everything_once(elb, member, stage):
    server = member("a")
    front = stage.front([server], monitor={"type": "TCP", "name": "probe"}, listener={"name": "l"}, pool={"name": "p"})
    front.wait_status(server, "ONLINE")
    found = elb.call("ShowLoadBalancerStatus", loadbalancer_id=front.load_balancer["id"]).statuses.loadbalancer
    assert (found.id, found.provisioning_status, found.operating_status) == (front.load_balancer["id"], "ACTIVE", "ONLINE")
    (listener,), (pool,) = found.listeners, found.pools
    assert (listener.id, listener.name, listener.operating_status, listener.l7policies) == (front.listener["id"], "l", "ONLINE", [])
    for seen in (pool, listener.pools[0]):
        assert (seen.id, seen.name, seen.operating_status) == (front.pool["id"], "p", "ONLINE")
        assert (seen.healthmonitor.id, seen.healthmonitor.type, seen.healthmonitor.name) == (front.monitor["id"], "TCP", "probe")
        (one,) = seen.members
        assert (one.id, one.address, one.protocol_port, one.operating_status) == (front.members["a"], server.address, server.port, "ONLINE")


def test_no_monitor_is_said_so(api, member, stage):
    front = stage.front([member()])
    assert operating(api, front) == ("ONLINE", "ONLINE", "ONLINE", "NO_MONITOR")
    assert tree(api, front)["pools"][0]["healthmonitor"] is None


def test_a_member_that_is_down_degrades_all_above_it(api, member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "TCP"})
    front.wait_status(server, "ONLINE")
    server.stop()
    eventually(lambda: operating(api, front) == ("DEGRADED", "DEGRADED", "DEGRADED", "OFFLINE"), what="degraded")
    assert api.show(f"loadbalancers/{front.load_balancer['id']}", "loadbalancer")["operating_status"] == "ONLINE", "only the tree says DEGRADED"
    server.start()
    eventually(lambda: operating(api, front) == ("ONLINE", "ONLINE", "ONLINE", "ONLINE"), what="online again")


def test_a_load_balancer_that_is_down_disables_all_below_it(api, member, stage):
    front = stage.front([member()])
    api.update(f"loadbalancers/{front.load_balancer['id']}", "loadbalancer", admin_state_up=False)
    assert operating(api, front) == ("DISABLED", "DISABLED", "DISABLED", "DISABLED")
