"""Random edits while requests and datagrams keep coming: not one fails, and no flow moves."""

import os
import random

import pytest

from harness.dns import DnsMember
from harness.edits import Ground
from harness.http_member import HttpMember
from harness.load import Flows, Load, Lookups, SecureLoad
from harness.load_streams import Http2Load, Http3Load
from harness.stage import Stage
from harness.wait import eventually

# A soak sets it higher, and begins with another seed each time.
EDITS = int(os.environ.get("FULCRUM_EDITS", "200"))
SEED = int(os.environ.get("FULCRUM_SEED", "11"))


class Editor:
    """Random edits around one front; its first member stays, so that there is always one to answer."""

    def __init__(self, stage, front, servers, seed):
        self.stage, self.api, self.front = stage, stage.api, front
        self.rng = random.Random(seed)
        self.spare = servers
        self.extra = []          # members in the pool beside the first
        self.monitor = None
        self.others = []         # fronts beside ours
        self.pools = [front.pool["id"]]

    def step(self):
        """One edit; answers its name."""
        edit = self.rng.choice([self.add, self.remove, self.weigh, self.algorithm, self.timeouts, self.headers, self.monitor_toggle, self.monitor_edit,
                                self.new_front, self.drop_front, self.switch_pool, self.rename, self.batch])
        edit()
        return edit.__name__

    def add(self):
        if self.spare:
            server = self.spare.pop()
            self.front.add(server, weight=self.rng.randint(1, 100))
            self.extra.append(server)

    def remove(self):
        if self.extra:
            server = self.extra.pop(self.rng.randrange(len(self.extra)))
            self.front.remove(server)
            self.spare.append(server)

    def weigh(self):
        if self.extra:
            self.front.weigh(self.rng.choice(self.extra), self.rng.choice([0, 1, 50, 100]))

    def algorithm(self):
        self.front.edit_pool(lb_algorithm=self.rng.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"]))

    def timeouts(self):
        self.front.edit(keepalive_timeout=self.rng.randint(60, 4000), client_timeout=self.rng.randint(30, 300), member_timeout=self.rng.randint(30, 300))

    def headers(self):
        self.front.edit(insert_headers={"X-Forwarded-Port": self.rng.random() < 0.5, "X-Real-IP": self.rng.random() < 0.5})

    def monitor_toggle(self):
        if self.monitor:
            self.api.delete(f"healthmonitors/{self.monitor}")
            self.monitor = None
        else:
            self.monitor = self.stage.monitor(self.pools[0], type=self.rng.choice(["TCP", "HTTP"]))["id"]

    def monitor_edit(self):
        if self.monitor:
            self.api.update(f"healthmonitors/{self.monitor}", "healthmonitor", delay=self.rng.randint(1, 5), max_retries=self.rng.randint(1, 5))

    def new_front(self):
        same = self.front.load_balancer if self.rng.random() < 0.5 else None
        self.others.append(self.stage.front(protocol=self.rng.choice(["HTTP", "TCP"]), load_balancer=same))

    def drop_front(self):
        if self.others:
            gone = self.others.pop(self.rng.randrange(len(self.others)))
            self.api.delete(f"listeners/{gone.listener['id']}/force")

    def switch_pool(self):
        """To a second pool with the first member alone, and back."""
        if len(self.pools) == 1:
            made = self.api.create("pools", "pool", loadbalancer_id=self.front.load_balancer["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
            self.api.create(f"pools/{made['id']}/members", "member", address=self.first.address, protocol_port=self.first.port, subnet_cidr_id=self.stage.subnet)
            self.pools.append(made["id"])
        current = self.api.show(f"listeners/{self.front.listener['id']}", "listener")["default_pool_id"]
        self.front.edit(default_pool_id=next(id for id in self.pools if id != current))

    def rename(self):
        self.api.update(f"loadbalancers/{self.front.load_balancer['id']}", "loadbalancer", name=f"n{self.rng.random()}")
        self.front.edit_pool(description=f"d{self.rng.random()}")

    def batch(self):
        if self.spare and self.rng.random() < 0.5:
            self.add()
        else:
            items = [{"id": self.front.members[server.name], "weight": self.rng.randint(1, 100)} for server in self.extra]
            if items:
                self.api.elb("POST", f"pools/{self.pools[0]}/members/batch-update", {"members": items})


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_random_edits_under_load_fail_no_request(fulcrum, member, seed):
    stage = Stage(fulcrum)
    servers = [member(f"m{number}") for number in range(6)]
    front = stage.front(servers[:1])
    editor = Editor(stage, front, servers[1:], seed)
    editor.first = servers[0]
    names = {server.name.encode() for server in servers}
    done = []
    try:
        with Load(front.where, good=lambda answer: answer.status == 200 and answer.body in names) as load:
            while len(done) < EDITS:
                done.append(editor.step())
                assert not load.failures, f"seed {seed}, after {done[-5:]}: {load.failures[:3]}"
        assert load.failures == [], f"seed {seed}"
        assert load.done > EDITS, "there was load"
    finally:
        stage.close()
    assert all(server.malformed == [] for server in servers if isinstance(server, HttpMember))


@pytest.mark.parametrize("seed", [SEED + 10, SEED + 11])
def test_random_edits_move_no_flow_and_lose_no_datagram(fulcrum, member, seed):
    stage, rng = Stage(fulcrum), random.Random(seed)
    servers = [member(f"ns{number}", kind=DnsMember) for number in range(5)]
    steady, spare, extra, others = servers[:2], servers[2:], [], []
    try:
        front = stage.front(steady, protocol="UDP")

        def add():
            if spare:
                extra.append(spare.pop())
                front.add(extra[-1], weight=rng.randint(1, 100))

        def remove():
            if extra:
                spare.append(extra.pop(rng.randrange(len(extra))))
                front.remove(spare[-1])

        def drop_front():
            if others:
                stage.api.delete(f"listeners/{others.pop().listener['id']}/force")

        def toggle_monitor():
            if front.monitor:
                stage.api.delete(f"healthmonitors/{front.monitor['id']}")
            front.monitor = None if front.monitor else stage.monitor(front.pool["id"], type="UDP_CONNECT")
        edits = [
            add, remove, drop_front, toggle_monitor,
            lambda: others.append(stage.front(protocol="UDP", load_balancer=front.load_balancer)),
            lambda: front.weigh(rng.choice(steady + extra), rng.choice([0, 1, 100])),
            lambda: front.edit_pool(lb_algorithm=rng.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"])),
            lambda: front.edit_pool(session_persistence=rng.choice([None, {"type": "SOURCE_IP"}])),
            lambda: front.edit(keepalive_timeout=rng.randint(60, 4000)),
        ]
        with Lookups(front.where, 12) as flows:
            assert set(flows.homes) == {server.name for server in steady}
            for number in range(EDITS // 2):
                rng.choice(edits)()
                assert not flows.failures, f"seed {seed}, edit {number}: {flows.failures[:3]}"
        assert flows.failures == [], f"seed {seed}"
        assert flows.done > EDITS, "there was load"
    finally:
        stage.close()


@pytest.mark.timeout(max(180, EDITS))
@pytest.mark.parametrize("seed", [SEED + 20])
def test_random_edits_of_everything_under_every_load_at_once(fulcrum, member, seed):
    """HTTP/1.1 plain and over TLS, HTTP/2, HTTP/3, WebSockets, TCP and UDP: nothing fails, and nothing that was open is closed."""
    stage = Stage(fulcrum)
    try:
        ground = Ground(stage, member, seed)

        def good(status, body):
            return status == 200 and body in ground.answers
        web, secure, quic, tcp, udp = (side.front.where for side in ground.sides)
        done = []
        with Load(web, kept=3, fresh=1, pause=0.01, good=lambda answer: good(answer.status, answer.body)) as http1, \
                SecureLoad(secure, kept=10, fresh=1) as https, Http2Load(secure, good=good) as http2, Http3Load(quic, good=good) as http3, \
                Flows(tcp=tcp, sockets=web, count=20) as flows, Lookups(udp, 10, pause=0.05) as lookups:
            loads = [http1, https, http2, http3, flows, lookups]

            def progress():
                return [load.done for load in loads if load is not flows] + flows.rounds

            def nothing_failed():
                failed = {type(load).__name__: load.failures[:3] for load in loads if load.failures}
                assert not failed, f"seed {seed}, after {done[-5:]}: {failed}"
            while len(done) < EDITS:
                done.append(ground.step())
                nothing_failed()
            seen = progress()
            eventually(lambda: all(now > then for now, then in zip(progress(), seen)), within=20, what="everybody is served on after the last edit")
        nothing_failed()
        assert https.opened == https.kept, "a connection over TLS had to be opened again"
        assert ground.malformed() == []
    finally:
        stage.close()
