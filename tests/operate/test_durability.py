"""Killed at any moment: what was answered is there after the restart, and nothing is half-made."""

import itertools
import random
import threading

import pytest
import requests

from harness import config
from harness.api import Api, Refused
from harness.http1 import get
from harness.stage import Stage
from harness.wait import eventually

UNLIMITED = config.quotas(loadbalancer=-1, listener=-1, pool=-1, member=-1, members_per_pool=-1)
BATCH = 5


class Storm:
    """Threads that create, edit and delete, and remember what was answered."""

    def __init__(self, process, threads, seed):
        self.process, self.seed = process, seed
        self.stage = Stage(process)
        self.kept = {}       # path: the object as last answered
        self.gone = set()    # paths whose deletion was answered
        self.pending = set()  # paths whose last edit or deletion got no answer: either state is right
        self.batches = {}    # pool id: whether its batch-add was answered
        self.answered = 0
        self._lock = threading.Lock()
        self._ports = itertools.count(1)
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _note(self, path, answer):
        with self._lock:
            self.kept[path] = answer
            self.answered += 1

    def _run(self, number):
        rng = random.Random(self.seed * 100 + number)
        api = Api(self.process.endpoint, self.stage.api.project_id, token=self.stage.api.token)
        try:
            while True:
                self._round(api, rng)
        except (requests.RequestException, OSError):
            pass  # the process was killed

    def _round(self, api, rng):
        stage = self.stage
        lb = api.create("loadbalancers", "loadbalancer", availability_zone_list=[stage.zone], vip_subnet_cidr_id=stage.subnet, name="storm")
        self._note(f"loadbalancers/{lb['id']}", lb)
        listener = api.create("listeners", "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
        self._note(f"listeners/{listener['id']}", listener)
        pool = api.create("pools", "pool", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self._note(f"pools/{pool['id']}", pool)
        self.batches[pool["id"]] = False
        items = [{"address": f"127.88.240.{last}", "protocol_port": 80, "subnet_cidr_id": stage.subnet} for last in range(1, BATCH + 1)]
        reply = api.elb("POST", f"pools/{pool['id']}/members/batch-add", {"members": items})
        assert reply.status == 201, reply.text
        self.batches[pool["id"]] = True
        if rng.random() < 0.5:
            path = f"listeners/{listener['id']}"
            self.pending.add(path)
            self._note(path, api.update(path, "listener", name=f"edited {rng.random()}"))
            self.pending.discard(path)
        if rng.random() < 0.3:
            paths = {f"loadbalancers/{lb['id']}", f"listeners/{listener['id']}", f"pools/{pool['id']}"}
            self.pending |= paths
            api.delete(f"loadbalancers/{lb['id']}/force-elb")
            self.gone |= paths
            self.pending -= paths

    def join(self):
        """Until every thread saw the end of the process."""
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)


# What follows from other objects or from traffic, and so may differ from what the answer to one command said.
# (A pool without a VPC takes that of its first member.)
FOLLOWS = {"listeners", "pools", "members", "healthmonitor_id", "default_pool_id", "updated_at", "request_id"}


def own_fields(item, *, noun):
    """The fields that only the object's own commands change."""
    return {key: value for key, value in item.items() if key not in FOLLOWS and (noun, key) != ("pool", "vpc_id")}


def check(storm, api):
    """Everything answered is there; what is there is whole."""
    for path, answered in storm.kept.items():
        noun = path.split("/")[0].rstrip("s")
        reply = api.elb("GET", path)
        if path in storm.gone:
            assert reply.status == 404, f"{path} was deleted and is back"
        elif path in storm.pending:
            assert reply.status in (200, 404)
        else:
            assert reply.status == 200, f"{path} was answered and is lost (seed {storm.seed})"
            assert own_fields(reply.json[noun], noun=noun) == own_fields(answered, noun=noun)
    lbs = {lb["id"]: lb for lb in api.list("loadbalancers", "loadbalancers")}
    listeners = {one["id"]: one for one in api.list("listeners", "listeners")}
    pools = {one["id"]: one for one in api.list("pools", "pools")}
    vips = [lb["vip_address"] for lb in lbs.values()]
    assert len(vips) == len(set(vips)), "one address for two load balancers"
    for one in listeners.values():
        assert one["loadbalancers"][0]["id"] in lbs
        assert one["default_pool_id"] is None or one["default_pool_id"] in pools
    for one in pools.values():
        assert all(ref["id"] in lbs for ref in one["loadbalancers"]) and all(ref["id"] in listeners for ref in one["listeners"])
        assert len(one["members"]) in (0, BATCH), "half a batch"
        if storm.batches.get(one["id"]):
            assert len(one["members"]) == BATCH, "an answered batch is lost"
    return lbs, listeners


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_in_a_storm_of_creates(start, seed):
    process = start(config=UNLIMITED)
    api = None
    for turn, after in enumerate((120, 200, 90)):  # the same data directory, three times
        storm = Storm(process, 6, seed * 10 + turn)
        eventually(lambda: storm.answered >= after, within=60, what=f"{after} answers")
        process.kill()
        storm.join()
        process.start()
        api = Api.admin(process)
        lbs, listeners = check(storm, api)
    # and traffic knows them, too: no pool's members live, so 502 or 503 is an answer of a listener in force
    for listener in list(listeners.values())[:20]:
        lb = lbs[listener["loadbalancers"][0]["id"]]
        assert get((lb["vip_address"], listener["protocol_port"])).status in (404, 502, 503)
    # what a kill left behind holds no name or address back
    made = Stage(process)
    assert made.front().get().status == 404
    made.close()


def test_a_refused_command_leaves_nothing(start):
    process = start()
    stage = Stage(process)
    front = stage.front()
    with pytest.raises(Refused):
        stage.front(load_balancer={**front.load_balancer, "id": "00000000-0000-4000-8000-000000000000"})
    process.kill()
    process.start()
    api = Api.admin(process)
    assert [one["id"] for one in api.list("listeners", "listeners")] == [front.listener["id"]]
