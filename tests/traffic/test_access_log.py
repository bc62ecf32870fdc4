"""The access log: a line for each request, its fields in the documented order (behaviour/access-log.md)."""

import re
import shutil
import socket
import struct

import pytest
from websockets.sync.client import connect

from harness import tls
from harness.http2 import Http2
from harness.stage import Stage
from harness.wait import eventually

LINE = re.compile(
    r'(?P<msec>\d+\.\d{3}) (?P<topic>\S+) \[(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d)\] (?P<version>\S+) (?P<remote>\S+) (?P<status>\d{3}) '
    r'"(?P<method>\S+) (?P<scheme>\w+)://(?P<uri>\S+) (?P<protocol>\S+)" (?P<request_length>\d+) (?P<bytes_sent>\d+) (?P<body_bytes_sent>\d+) '
    r'(?P<request_time>\d+\.\d{3}) "(?P<upstream_status>[^"]+)" "(?P<upstream_connect_time>[^"]+)" "(?P<upstream_header_time>[^"]+)" '
    r'"(?P<upstream_response_time>[^"]+)" "(?P<upstream_addr>[^"]+)" "(?P<user_agent>[^"]*)" "(?P<referer>[^"]*)" "(?P<forwarded_for>[^"]*)" '
    r'(?P<lb_name>\S+) (?P<listener_name>\S+) (?P<listener_id>\S+) (?P<pool_name>\S+) "(?P<member_name>[^"]+)" (?P<tenant_id>\S+) (?P<eip>\S+) '
    r'"(?P<upstream_addr_priv>[^"]+)" (?P<certificate_id>\S+) (?P<ssl_protocol>\S+) (?P<ssl_cipher>\S+) (?P<sni>\S+) (?P<rtt>\S+) (?P<own_header>\S+) '
    r'(?P<request_header_length>\d+) (?P<actions>\S+) (?P<error_reason>\S+) "(?P<pool_usr_name>[^"]*)"')


class Log:
    """The log of a load balancer."""

    def __init__(self, process, stage, load_balancer, topic="topic-1"):
        self.made = stage.api.create("logtanks", "logtank", loadbalancer_id=load_balancer["id"], log_group_id="group-1", log_topic_id=topic)
        self.files = lambda: sorted((process.data / "logs").glob(f"{load_balancer['id']}*"))

    def lines(self):
        """All lines so far, the oldest first within a file."""
        return [line for file in self.files() for line in file.read_text().splitlines()]

    def wait(self, count):
        """Until there are that many lines; answers them as fields."""
        lines = eventually(lambda: (found := self.lines()) and len(found) >= count and found, what=f"{count} lines in the log")
        assert len(lines) == count, lines
        return [parsed(line) for line in lines]


def parsed(line):
    """The fields of a line."""
    found = LINE.fullmatch(line)
    assert found, line
    return found.groupdict()


@pytest.fixture
def logged(fulcrum, member, stage):
    """A front with a log: (front, log)."""
    lb = stage.load_balancer()
    log = Log(fulcrum, stage, lb)
    return stage.front([member("a")], load_balancer=lb, pool={"name": "web"}), log


def test_a_request_is_a_line(logged):
    front, log = logged
    with front.connect(source="127.0.3.3") as client:
        port = client.socket.getsockname()[1]
        client.ask("/echo?x=%20y", method="POST", body=b"hello", host="app.example.com:8080", headers=[
            ("User-Agent", "ua/1 \"quoted\""), ("Referer", "http://r/"), ("X-Forwarded-For", "192.0.2.1")])
    got = log.wait(1)[0]
    server = next(iter(front.members))
    stage = front.stage
    lb, listener, pool = front.load_balancer["id"], front.listener["id"], front.pool["id"]
    assert server == "a"
    assert (got["topic"], got["version"], got["remote"], got["status"]) == ("topic-1", "elb_01", f"127.0.3.3:{port}", "200")
    assert (got["method"], got["scheme"], got["uri"], got["protocol"]) == ("POST", "http", "app.example.com:8080/echo?x=%20y", "HTTP/1.1")
    assert got["body_bytes_sent"] == "5" and int(got["bytes_sent"]) > 60 and int(got["request_length"]) == int(got["request_header_length"]) + 5
    assert (got["upstream_status"], got["user_agent"], got["referer"], got["forwarded_for"]) == ("200", r"ua/1 \x22quoted\x22", "http://r/", "192.0.2.1")
    assert (got["lb_name"], got["listener_name"], got["listener_id"]) == (f"loadbalancer_{lb}", f"listener_{listener}", listener.replace("-", ""))
    assert got["pool_name"].startswith(f"pool_{pool}") and got["pool_usr_name"] == "web"
    assert (got["tenant_id"], got["eip"]) == (stage.api.project_id, f"{front.where[0]}:{front.where[1]}")
    assert [got[name] for name in ("certificate_id", "ssl_protocol", "ssl_cipher", "sni", "actions", "error_reason")] == ["-"] * 6
    assert float(got["request_time"]) >= 0 and re.fullmatch(r"\d+\.\d{3}", got["upstream_response_time"])


def test_every_request_has_one_line_and_a_bad_one_none(logged):
    front, log = logged
    with front.connect() as client:
        for number in range(20):
            client.ask(f"/n{number}")
    with front.connect() as client:
        assert client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").answer().status == 400
    front.get("/last")
    got = log.wait(21)
    # Each worker writes its own records, so the order holds within a connection only.
    names = [one["uri"].rpartition("/")[2] for one in got]
    assert [name for name in names if name != "last"] == [f"n{number}" for number in range(20)] and "last" in names
    assert {one["status"] for one in got} == {"200"}


def test_own_answers_and_clients_that_leave(fulcrum, member, stage):
    lb = stage.load_balancer()
    server = member("slow")
    front, log = stage.front([server], load_balancer=lb), Log(fulcrum, stage, lb)
    client = front.connect().request("/gate")
    eventually(lambda: server.count("/gate"), what="the member has it")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    # The member still works, and need not answer for it.
    assert log.wait(1)[0]["status"] == "499"
    server.gate.set()
    lb = stage.load_balancer()
    empty = stage.front(load_balancer=lb)
    other = Log(fulcrum, stage, lb)
    assert empty.get("/x").status == 404
    got = other.wait(1)[0]
    assert (got["status"], got["upstream_status"], got["upstream_addr"], got["upstream_connect_time"]) == ("404", "-", "-", "-")


def test_a_retry_lists_both_attempts(fulcrum, member, stage):
    lb = stage.load_balancer()
    down, up = member("down"), member("up")
    down.refuse()
    front = stage.front([down, up], load_balancer=lb)
    log = Log(fulcrum, stage, lb)
    for _ in range(4):
        assert front.get().member == "up"
    retried = [one for one in log.wait(4) if ", " in one["upstream_addr"]]
    assert retried
    assert retried[0]["upstream_addr"] == f"{down.address}:{down.port}, {up.address}:{up.port}"
    assert [len(retried[0][name].split(", ")) for name in ("upstream_status", "upstream_connect_time")] == [2, 2]


def test_a_log_can_be_switched_off(logged):
    front, log = logged
    front.get("/one")
    log.wait(1)
    front.stage.api.delete(f"logtanks/{log.made['id']}")
    front.get("/two")
    Log.wait(log, 1)


def test_files_are_rotated_and_old_ones_go(start, member):
    process = start(config={"access_log": {"file_mib_max": 1, "files_kept": 2}})
    stage = Stage(process)
    lb = stage.load_balancer()
    front = stage.front([member("a")], load_balancer=lb)
    log = Log(process, stage, lb)
    agent = [("User-Agent", "u" * 7000)]
    sent = 0
    with front.connect() as client:
        while len(log.files()) < 2:
            for _ in range(60):
                sent += client.ask(headers=agent).status == 200
            assert sent < 1000, log.files()
        before = eventually(lambda: len(log.lines()) >= sent and log.lines(), what="all lines")
        assert len(before) == sent and all(LINE.fullmatch(line) for line in before), "nothing is lost between two files"
        while sent < 900:
            sent += client.ask(headers=agent).status == 200

    def kept():
        sizes = [file.stat().st_size for file in log.files()]
        return len(sizes) == 3 and max(sizes) <= 1_100_000
    eventually(kept, what="the current file and two old ones")
    shutil.rmtree(process.data / "logs")


def test_tls_and_http2_have_their_fields(fulcrum, member, stage):
    lb = stage.load_balancer()
    log = Log(fulcrum, stage, lb)
    front = stage.secure([member("a")], load_balancer=lb, listener={"http2_enable": True})
    with tls.Secure(front.where) as client:
        client.ask("/one")
        suite = client.suite
    with Http2(front.where) as client:
        client.ask("/two")
    one, two = log.wait(2)
    assert [one[name] for name in ("scheme", "protocol", "ssl_protocol", "ssl_cipher", "sni")] == ["https", "HTTP/1.1", "TLSv1.2", suite, tls.SITE]
    assert (two["scheme"], two["protocol"], two["uri"].partition("/")[2], two["sni"]) == ("https", "HTTP/2.0", "two", tls.SITE)


def test_a_websockets_line_comes_at_its_end_with_its_bytes(fulcrum, member, stage):
    lb = stage.load_balancer()
    log = Log(fulcrum, stage, lb)
    front = stage.front([member("ws")], load_balancer=lb)
    with connect(f"ws://{front.url}/ws", proxy=None) as client:
        for _ in range(10):
            client.send(b"x" * 1000)
            assert client.recv(timeout=10) == b"x" * 1000
        assert log.lines() == []
    got = log.wait(1)[0]
    assert got["status"] == "101"
    # Each message has a frame's head of 4 bytes, the client's 4 more for its mask; the closing handshake is small.
    sent, received = int(got["body_bytes_sent"]), int(got["request_length"]) - int(got["request_header_length"])
    assert 10 * 1004 <= sent < 10 * 1004 + 100 and 10 * 1008 <= received < 10 * 1008 + 100
