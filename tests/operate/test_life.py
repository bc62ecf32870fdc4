"""Starting and ending: the ready line, credentials, signals, drain, demo."""

import json
import re
import signal
import socket
import stat
import subprocess

from harness.api import Api
from harness.fulcrum import run
from harness.http1 import Connection
from harness.http_member import HttpMember
from harness.members import EchoMember
from harness.stage import Stage
from harness.wait import eventually

CREDENTIALS = {"endpoint", "region", "domain_id", "domain_name", "project_id", "project_name", "user_id", "user_name", "password",
               "access_key", "secret_key", "vpc_id", "subnet_id"}


def test_the_first_start_writes_credentials_for_the_owner_only(start):
    process = start()
    file = process.data / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = process.credentials
    assert set(found) == CREDENTIALS
    assert (found["endpoint"], found["region"]) == (process.endpoint, "local-1")
    assert re.fullmatch(r"[0-9a-f]{32}", found["project_id"])
    assert len(found["secret_key"]) >= 30 and len(found["password"]) >= 12


def test_credentials_can_be_set_beforehand(start):
    wanted = {"FULCRUM_PROJECT_ID": "0123456789abcdef0123456789abcdef", "FULCRUM_ADMIN_PASSWORD": "chosen-Password-1", "FULCRUM_ACCESS_KEY": "CHOSENKEY",
              "FULCRUM_SECRET_KEY": "chosen-secret-chosen-secret", "FULCRUM_REGION": "eu-west-7"}
    process = start(env=wanted)
    found = process.credentials
    assert [found[key] for key in ("project_id", "password", "access_key", "secret_key", "region")] == list(wanted.values())
    assert Api.admin(process, by="key").elb("GET", "loadbalancers").status == 200
    assert Api.admin(process).elb("GET", "loadbalancers").status == 200


def test_a_restart_keeps_credentials_addresses_and_traffic(start):
    process = start()
    with HttpMember("kept") as member:
        front = Stage(process).front([member])
        before = process.credentials
        assert process.terminate() == 0
        process.start()
        after = process.credentials
        assert {**before, "endpoint": None} == {**after, "endpoint": None}
        assert after["endpoint"] == process.endpoint
        assert front.get().body == b"kept"


def test_nothing_is_written_outside_the_data_directory(start, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    process = start(tmp_path / "own", env={"HOME": str(place), "TMPDIR": str(place), "XDG_DATA_HOME": str(place)})
    Stage(process).front()
    assert process.terminate() == 0
    assert list(place.iterdir()) == []
    assert {file.name for file in (tmp_path / "own").iterdir()} == {"data", "stderr-1.log"}


def test_sigterm_drains_and_ends_with_zero(start):
    process = start()
    stage = Stage(process)
    with HttpMember("slow") as member, EchoMember("echo") as echo:
        front, tcp = stage.front([member]), stage.front([echo], protocol="TCP")
        with front.connect() as working, front.connect() as idle, tcp.connect() as flow:
            idle.ask()
            flow.send(b"a").exactly(1)
            working.request("/gate")
            eventually(lambda: member.count("/gate") == 1, what="the request arrived")
            process.process.send_signal(signal.SIGTERM)

            def refused():
                try:
                    Connection(front.where, deadline=1).close()
                    return False
                except ConnectionRefusedError:
                    return True
            eventually(refused, what="no new connections")
            assert idle.is_closed(), "an idle connection has no work to finish"
            assert flow.send(b"b").exactly(1) == b"b", "a flow may finish"
            flow.finish().rest()
            assert process.process.poll() is None, "it waits for the request in work"
            member.gate.set()
            assert working.answer().body == b"slow"
            assert working.is_closed()
        assert process._ended(10) == 0


def test_sigint_ends_sooner(start):
    process = start()
    stage = Stage(process)
    with HttpMember("slow") as member:
        front = stage.front([member])
        with front.connect() as working:
            working.request("/gate")
            eventually(lambda: member.count("/gate") == 1, what="the request arrived")
            assert process.terminate(signal.SIGINT, within=6) is not None


def test_two_signals_do_not_wait(start):
    process = start()
    with HttpMember("slow") as member:
        front = Stage(process).front([member])
        with front.connect() as working:
            working.request("/gate")
            eventually(lambda: member.count("/gate") == 1, what="the request arrived")
            process.process.send_signal(signal.SIGTERM)
            process.process.send_signal(signal.SIGINT)
            assert process._ended(6) is not None


def test_the_demo_answers_the_line_that_it_prints(start):
    process = start(arguments=["--demo"])
    line = eventually(lambda: next((line for line in process.lines if "curl " in line), None), what="a curl line on stdout")
    command = line[line.index("curl "):]
    bodies = set()
    for _ in range(10):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and done.stdout.strip(), (command, done.stderr)
        bodies.add(done.stdout)
    assert len(bodies) >= 2, "two sample members take turns"


def test_a_second_process_on_the_same_data_is_refused(start):
    process = start()
    done = run("up", "--data", process.data, "--listen", "127.0.0.1:0", seconds=20)
    assert done.returncode != 0 and str(process.data) in done.stderr


def test_a_port_that_is_taken_is_said_so(start, tmp_path):
    process = start()
    taken = process.endpoint.removeprefix("http://")
    done = run("up", "--data", tmp_path / "other", "--listen", taken, seconds=20)
    assert done.returncode != 0 and taken in done.stderr


def test_plain_http_is_for_loopback_only(tmp_path):
    done = run("up", "--data", tmp_path / "data", "--listen", "0.0.0.0:0", seconds=20)
    assert done.returncode != 0 and "TLS" in done.stderr


def test_a_listener_that_cannot_be_bound_says_why(start):
    """Something else has the port: the API tells it in words, and mends it by itself once the port is free."""
    process = start()
    stage = Stage(process)
    lb = stage.load_balancer()
    with socket.socket() as holder:
        holder.bind((lb["vip_address"], 8088))
        holder.listen()
        body = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 8088}
        reply = stage.api.elb("POST", "listeners", {"listener": body})
        assert reply.status == 201, reply.text
        shown = json.dumps(stage.api.elb("GET", f"loadbalancers/{lb['id']}/statuses").json)
        assert "ERROR" in shown
        assert f"{lb['vip_address']}:8088" in process.log.read_text(), "the log says what could not be bound"

    def answers():
        try:
            with Connection((lb["vip_address"], 8088)) as client:
                return client.ask().status == 404
        except ConnectionRefusedError:
            return False
    eventually(answers, within=15, what="the listener in force after the port came free")
