"""Upgrades: a new process takes over, and nobody who is served notices."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from harness import tls
from harness.api import Api
from harness.dns import DnsMember, client, lookup
from harness.fulcrum import binary, run
from harness.http3 import H3_NO_ERROR, H3_REQUEST_REJECTED, Http3, Http3Load, Refused
from harness.load import Calls, Flows, Load, SecureLoad
from harness.members import EchoMember
from harness.stage import Stage
from harness.wait import eventually

# In a row, under load; a soak sets it higher.
UPGRADES = int(os.environ.get("FULCRUM_UPGRADES", "5"))
FLOWS = int(os.environ.get("FULCRUM_UPGRADE_FLOWS", "100"))
# What a call of the API may take while it changes hands, seconds. Nobody promises a time to a slow machine; a pause that is a timeout shows.
PAUSE = 5


def endings(process):
    """How many processes of an upgrade have ended by themselves, by the log."""
    return process.log.read_text(errors="replace").count("ended after the upgrade")


def test_upgrades_in_a_row_lose_nothing(start, member):
    process = start(config={"upgrade": {"drain_s": 600}})
    stage = Stage(process)
    servers = [member("a"), member("b")]
    down = member("down")
    web = stage.front([*servers, down], monitor={"timeout": 5, "max_retries_down": 3})
    tcp = stage.front([member("echo", kind=EchoMember)], protocol="TCP")
    secure = stage.secure([servers[0]])
    web.wait_status(servers[0], "ONLINE")
    down.refuse()
    web.wait_status(down, "OFFLINE")
    watched = Stage(process)

    def health():
        """None while it is known as it was before: nobody is unknown for a moment."""
        seen = {status["name"]: status["operating_status"] for status in watched.api.list(f"pools/{web.pool['id']}/members", "members")}
        return None if seen == {"a": "ONLINE", "b": "ONLINE", "down": "OFFLINE"} else seen

    good = {b"a", b"b"}
    with Flows(tcp=tcp.where, sockets=web.where, count=FLOWS) as flows, \
            Load(web.where, good=lambda answer: answer.status == 200 and answer.body in good) as load, \
            SecureLoad(secure.where, kept=20) as secret, \
            Calls(Api.admin(process), watch=health) as calls:
        for _ in range(UPGRADES):
            before, made = (list(flows.rounds), load.done, secret.done, calls.done), process.process
            process.upgrade()
            assert made.poll() is None or not flows.count, "the old process serves its flows"

            def all_went_on():
                return all(now > then for now, then in zip(flows.rounds, before[0])) and load.done > before[1] + 100 \
                    and secret.done > before[2] and calls.done > before[3] + 8
            eventually(all_went_on, within=30, what="everybody is served on")
            for kind in (flows, load, secret, calls):
                assert kind.failures == [], f"{type(kind).__name__}: {kind.failures[:3]}\n{process.tail()}"
    for kind in (flows, load, secret, calls):
        assert kind.failures == [], f"{type(kind).__name__}: {kind.failures[:3]}"
    assert calls.slowest < PAUSE, f"a call of the API took {calls.slowest:.2f} s"
    for former in process.former:
        assert former.wait(20) == 0, "with its last flow it ends"
    assert endings(process) == UPGRADES
    assert process.terminate() is not None


def test_what_is_made_in_one_process_is_there_in_the_next(start, member):
    process = start()
    stage = Stage(process)
    front = stage.front([member("kept")])
    before = process.credentials
    for number in range(3):
        assert front.get().body == b"kept"
        made = stage.api.create("ipgroups", "ipgroup", name=f"g{number}", ip_list=[{"ip": "10.0.0.1"}])
        process.upgrade()
        assert stage.api.show(f"ipgroups/{made['id']}", "ipgroup")["name"] == f"g{number}"
    assert process.credentials == before

    def said():
        return [line for line in process.lines if line.startswith("fulcrum: ready")]
    eventually(lambda: len(said()) == 4, what="each says that it is ready")
    assert said() == [f"fulcrum: ready {process.endpoint}"] * 4
    done = run("up", "--data", process.data, "--listen", "127.0.0.1:0", seconds=20)
    assert done.returncode != 0 and "another process" in done.stderr, "the data directory is locked as before"


def test_connections_that_wait_to_be_accepted_are_served(start, member):
    """Clients that connect all the time, each for one request, while workers come and go: the queues are handed over, not closed."""
    process = start(config={"dataplane": {"workers": 3}})
    stage = Stage(process)
    front = stage.front([member("x")])
    with Load(front.where, kept=0, fresh=8) as load:
        for workers in (1, 4, 2):
            (process.directory / "fulcrum.toml").write_text(f"[dataplane]\nworkers = {workers}\n")
            done = load.done
            process.upgrade()
            eventually(lambda: load.done > done + 200, within=30, what="new connections are served")
            assert load.failures == [], load.failures[:3]
    assert load.failures == []


def test_flows_of_udp_stay_with_their_servers(start, member):
    process = start(config={"upgrade": {"drain_s": 600}})
    front = Stage(process).front([member(name, kind=DnsMember) for name in "abc"], protocol="UDP")
    clients = [client() for _ in range(12)]
    asked = {one: lookup(front.where, sock=one) for one in clients}
    assert set(asked.values()) == {"a", "b", "c"}
    for _ in range(2):
        process.upgrade()
        assert lookup(front.where) in "abc", "new ones are served"
        # In another order: whoever began anew would get another one by turns.
        assert {one: lookup(front.where, sock=one) for one in reversed(clients)} == asked
    assert all(former.poll() is None for former in process.former[:1]), "the first process has the flows"


def quic(stage, members):
    """A QUIC listener before an HTTP pool."""
    fields = {"default_tls_container_ref": stage.certificate(kind="RSA")["id"]}
    return stage.front(members, protocol="QUIC", listener=fields, pool={"protocol": "HTTP"})


def test_http3_is_served_by_the_new_process_and_ends_in_the_old_one(start, member):
    process = start(config={"upgrade": {"drain_s": 600}})
    server = member("a")
    front = quic(Stage(process), [server])
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(3):
            client = stack.enter_context(Http3(front.where))
            assert client.ask("/").status == 200, "new clients are served at once"
            clients.append((client, client.start("/gate")))
            eventually(lambda: server.count("/gate") == number + 1, what="it is under way")
            process.upgrade()
        assert [former.poll() for former in process.former] == [None] * 3, "they wait for their clients"
        for client, _ in clients:
            client.move()

            def is_refused(client=client):
                """Later requests are the new process's. By asking, the client shows where it is now."""
                try:
                    assert client.ask("/late").status == 200
                except Refused as refused:
                    return refused.code == H3_REQUEST_REJECTED
            eventually(is_refused, what="it hears that its process takes no more")
        server.gate.set()
        for client, begun in clients:
            assert client.finish(begun).status == 200
        eventually(lambda: all(client.ended == H3_NO_ERROR for client, _ in clients), what="they are told to leave")
    for former in process.former:
        assert former.wait(20) == 0, "with its last connection it ends"


def test_clients_of_http3_notice_nothing_of_upgrades_in_a_row(start, member):
    process = start(config={"upgrade": {"drain_s": 600}, "dataplane": {"workers": 2}})
    front = quic(Stage(process), [member("a")])
    with Http3Load(front.where) as load:
        for workers in (2, 1, 3, 2):
            (process.directory / "fulcrum.toml").write_text(f"[upgrade]\ndrain_s = 600\n[dataplane]\nworkers = {workers}\n")
            process.upgrade()
            done = load.done
            eventually(lambda: load.done > done + 20, within=30, what=f"they are served on; failures: {load.failures[:3]}")
            assert load.failures == [], load.failures[:3]
    assert load.failures == [], load.failures[:3]
    for former in process.former:
        assert former.wait(20) == 0, "nobody stays in an old process"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_sessions_of_tls_are_resumed_after_upgrades(start, member, version):
    process = start()
    front = Stage(process).secure([member("x")], listener={"tls_ciphers_policy": "tls-1-0-with-1-3"})
    terms = tls.context()
    terms.minimum_version = terms.maximum_version = version

    def visit(session=None):
        """A request; whether the session was resumed, and the one to come back with."""
        with socket.create_connection(front.where, timeout=10) as plain, \
                terms.wrap_socket(plain, server_hostname=tls.SITE, session=session) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: site.example.com\r\nConnection: close\r\n\r\n")
            assert secure.recv(4096).startswith(b"HTTP/1.1 200 ")
            return secure.session_reused, secure.session

    resumed, session = visit()
    assert not resumed
    for _ in range(2):
        process.upgrade()
        resumed, session = visit(session)
        assert resumed


def test_a_client_of_http_2_is_told_to_go_and_loses_nothing(start, member):
    process = start(config={"upgrade": {"drain_s": 600}})
    server = member("x")
    front = Stage(process).secure([server], listener={"http2_enable": True})
    h2 = curl("--http2", f"https://{front.url}/gate")
    eventually(lambda: server.count("/gate") == 1, what="it is under way")
    process.upgrade()
    new = curl("--http2", f"https://{front.url}/")
    assert new.communicate(timeout=20)[0] == b"x 200 2"
    assert process.former[0].poll() is None, "it waits for its stream"
    server.gate.set()
    assert h2.communicate(timeout=20)[0] == b"x 200 2"
    assert process.former[0].wait(20) == 0


def script(place, text):
    """An executable file."""
    place.write_text(text)
    place.chmod(0o755)
    return place


@pytest.mark.parametrize("text, why", [
    ("#!/bin/sh\nexit 3\n", r"ended \(exit status: 3\)"),
    ("no program", r"cannot be started"),
    ("#!/bin/sh\nexec sleep 1000\n", r"not ready within 1 s"),
    ("#!/bin/sh\nprintf nonsense-nonsense >&0; exec sleep 1000\n", r"none of a hand-over"),
    ("#!/bin/sh\nexec {binary} up --data {data} --config {broken}\n", r"cannot take over.*not_a_key"),
    ("#!/bin/sh\nexec {binary} up --data {data}/elsewhere --listen 127.0.0.1:0\n", r"names the data directory"),
    ("#!/bin/sh\nFULCRUM_MASTER_KEY={key} exec {binary} up --data {data} --listen 127.0.0.1:0\n", r"cannot take over.*key"),
], ids=["it ends", "no program", "it hangs", "it talks nonsense", "its configuration is wrong", "another directory", "it cannot open the store"])
def test_a_new_process_that_fails_leaves_the_old_one_serving(start, member, tmp_path, text, why):
    process = start(config={"upgrade": {"ready_s": 1 if "1 s" in why else 30}})
    stage = Stage(process)
    front = stage.front([member("x")])
    (tmp_path / "broken.toml").write_text("not_a_key = 1\n")
    text = text.format(binary=binary(), data=process.data, broken=tmp_path / "broken.toml", key="ab" * 32)
    program = script(tmp_path / "program", text)
    with front.connect() as kept, Load(front.where) as load, Calls(Api.admin(process)) as calls:
        kept.ask()
        done = run("upgrade", "--data", process.data, "--binary", program, seconds=30)
        assert done.returncode == 1 and re.search(why, done.stderr, re.DOTALL) and "serves on" in done.stderr, done.stderr
        seen = load.done, calls.done
        eventually(lambda: load.done > seen[0] + 50 and calls.done > seen[1] + 4, within=20, what="everything goes on")
        assert kept.ask().status == 200, "also on connections that were open"
    assert load.failures == [] and calls.failures == [], (load.failures[:3], calls.failures[:3])
    process.upgrade()
    assert front.get().body == b"x", "and a good one is taken after it"


def test_sigusr2_starts_the_file_that_replaced_the_binary(start, member, tmp_path):
    program = tmp_path / "program"
    shutil.copy(binary(), program)
    process = start(program=program)
    stage = Stage(process)
    front = stage.front([member("x")])
    said = tmp_path / "said"
    new = script(tmp_path / "new", f"#!/bin/sh\necho $$ > {said}\nexec {binary()} \"$@\"\n")
    new.rename(program)
    process.process.send_signal(signal.SIGUSR2)
    eventually(lambda: process.process.poll() == 0, within=20, what="the old process has nothing to do and ends")
    process.succeeded_by(int(said.read_text()))
    assert front.get().body == b"x"
    stage.api.create("ipgroups", "ipgroup", ip_list=[{"ip": "10.0.0.1"}])


def test_flows_of_the_old_process_end_at_its_limit(start, member):
    process = start(config={"upgrade": {"drain_s": 1}})
    stage = Stage(process)
    tcp = stage.front([member("echo", kind=EchoMember)], protocol="TCP")
    with tcp.connect() as old:
        old.send(b"a").exactly(1)
        process.upgrade()
        with tcp.connect() as new:
            assert old.is_closed()
            assert process.former[0].wait(10) == 0
            assert new.send(b"b").exactly(1) == b"b"


def test_the_end_of_the_service_ends_old_processes_too(start, member):
    process = start(config={"dataplane": {"drain_s": 1}})
    tcp = Stage(process).front([member("echo", kind=EchoMember)], protocol="TCP")
    with tcp.connect() as flow:
        flow.send(b"a").exactly(1)
        process.upgrade()
        former = process.former[0]
        former.send_signal(signal.SIGTERM)
        assert flow.send(b"b").exactly(1) == b"b", "it drains on"
        assert former.wait(10) == 0, "but no longer than any process that is told to end"


def test_upgrade_without_a_process_says_so(tmp_path):
    done = run("upgrade", "--data", tmp_path)
    assert done.returncode == 1 and str(tmp_path) in done.stderr


class Manager:
    """The service manager's side of sd_notify."""

    def __init__(self, place):
        self.path = str(place / "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.told = []

    def heard(self):
        """Everything so far, as dicts."""
        while True:
            try:
                lines = self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.told
            self.told.append(dict(line.split("=", 1) for line in lines))


def test_the_service_manager_follows(start, tmp_path):
    manager = Manager(tmp_path)
    process = start(env={"NOTIFY_SOCKET": manager.path})
    first = process.pid
    eventually(lambda: any(told.get("READY") == "1" and told.get("MAINPID") == str(first) for told in manager.heard()), what="it is ready")
    process.upgrade()
    eventually(lambda: manager.heard()[-1].get("MAINPID") == str(process.pid), what="it follows the new process")
    reloading = [told for told in manager.heard() if "RELOADING" in told]
    assert len(reloading) == 1 and int(reloading[0]["MONOTONIC_USEC"]) > 0
    assert manager.heard()[-1]["READY"] == "1"
    process.process.send_signal(signal.SIGTERM)
    eventually(lambda: manager.heard()[-1].get("STOPPING") == "1", what="it hears of the end")


def curl(*arguments):
    """curl at work; it prints body, status and version."""
    return subprocess.Popen(["curl", "-sk", "-w", " %{http_code} %{http_version}", *arguments], stdout=subprocess.PIPE)


def test_sigterm_under_load_fails_no_request(start, member):
    """Requests that were sent are answered, whatever they are sent over; only connects after the end are refused."""
    process = start(config={"dataplane": {"drain_s": 20}})
    stage = Stage(process)
    server = member("x")
    front, secure = stage.front([server]), stage.secure([server], listener={"http2_enable": True})
    tcp = stage.front([member("echo", kind=EchoMember)], protocol="TCP")
    with Flows(tcp=tcp.where, sockets=front.where, count=5) as flows, Load(front.where, kept=6, fresh=0) as load:
        h2 = curl("--http2", f"https://{secure.url}/gate")
        with front.connect() as working:
            working.request("/gate")
            eventually(lambda: server.count("/gate") == 2, what="both are under way")
            eventually(lambda: load.done > 50, what="there is load")
            process.process.send_signal(signal.SIGTERM)
            rounds = list(flows.rounds)
            eventually(lambda: all(now > then + 3 for now, then in zip(flows.rounds, rounds)), what="flows go on")
            server.gate.set()
            answer = working.answer()
            assert (answer.body, answer.header("connection")) == (b"x", "close")
            assert h2.communicate(timeout=20)[0] == b"x 200 2", "h2 ends its streams after GOAWAY"
        assert flows.failures == [], flows.failures[:3]
        wrong = [failure for failure in load.failures if not isinstance(failure, ConnectionRefusedError)]
        assert wrong == [], wrong[:3]
    assert process._ended(15) == 0
