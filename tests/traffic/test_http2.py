"""HTTP/2 to clients, HTTP/1.1 to members: what passes. What cannot be said: `test_http2_conformance`."""

import contextlib
import json
import re
import subprocess
import threading

import h2.settings
import pytest

from harness import pki, tls
from harness.http2 import Http2
from harness.members import ScriptMember
from harness.wait import eventually


@pytest.fixture
def front(member, stage):
    """A listener with HTTP/2."""
    return stage.secure([member("a")], listener={"http2_enable": True, "tls_ciphers_policy": "tls-1-2-fs-with-1-3"})


@pytest.fixture
def client(front):
    """A connection to it."""
    with Http2(front.where) as made:
        yield made


def test_requests_and_answers(client):
    for _ in range(3):
        answer = client.ask("/x?a=b")
        assert (answer.status, answer.body, answer.member) == (200, b"a", "a")
    assert client.ask("/echo", method="POST", body=b"hello").body == b"hello"
    assert client.ask("/echo", method="POST", body=b"").body == b""
    assert client.ask("/status/404").status == 404
    assert client.ask("/status/204").status == 204
    head = client.ask("/bytes/100", method="HEAD")
    assert (head.header("content-length"), head.body) == ("100", b"")


def test_the_member_sees_plain_http11(client):
    got = json.loads(client.ask("/request", headers=[("cookie", "a=b"), ("cookie", "c=d"), ("x-one", "1"), ("x-one", "2")]).body)
    headers = [(name.lower(), value) for name, value in got["headers"]]
    assert (got["method"], got["target"], got["version"]) == ("GET", "/request", "HTTP/1.1")
    named = dict(headers)
    assert (named["host"], named["cookie"], named["x-forwarded-proto"]) == ("app.example.com", "a=b; c=d", "https")
    assert [value for name, value in headers if name == "x-one"] == ["1", "2"]
    assert "connection" not in named or named["connection"].lower() == "keep-alive"


def test_bodies_both_ways_are_streamed_and_large(client, front):
    body = b"0123456789" * 300_000
    assert client.ask("/sink", method="POST", body=body).body == b"3000000"
    assert client.ask("/sink", method="POST", body=body, headers=[("content-length", "3000000")]).body == b"3000000"
    assert client.ask("/bytes/5000000").length == 5_000_000
    chunked = client.ask("/chunked/100000")
    assert chunked.length == 100_000 and dict(chunked.trailers) == {"x-end": "reached"}
    assert client.ask("/until-close").body == b"all of it"


def test_interim_answers_pass(client):
    answer = client.ask("/hints")
    assert [dict(one)[":status"] for one in answer.interim] == ["103"] and answer.body == b"a"


def test_trailers_of_requests_pass(client, front):
    stream = client.request("/request", method="POST", end=False, headers=[("trailer", "x-sum")])
    client.send(stream, b"hello", end=False)
    client.state.send_headers(stream, [("x-sum", "42")], end_stream=True)
    client.flush()
    got = json.loads(client.answer(stream).body)
    assert (got["length"], [[name.lower(), value] for name, value in got["trailers"]]) == (5, [["x-sum", "42"]])


def test_many_streams_at_once_do_not_wait_for_each_other(member, stage):
    server = member("a")
    front = stage.secure([server], listener={"http2_enable": True})
    with Http2(front.where) as client:
        slow = [client.request("/gate") for _ in range(20)]
        quick = [client.request(f"/{n}") for n in range(40)]
        assert [client.answer(stream).status for stream in quick] == [200] * 40
        server.gate.set()
        assert [client.answer(stream).status for stream in slow] == [200] * 20


def test_a_stream_that_is_reset_ends_the_work_behind_it(member, stage):
    ended = threading.Event()

    def script(connection, server):
        if b"/slow" in server.read_head(connection):
            connection.settimeout(15)
            with contextlib.suppress(ConnectionError):
                connection.recv(1)
            ended.set()
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    server = member("a", kind=ScriptMember, script=script)
    front = stage.secure([server], listener={"http2_enable": True})
    with Http2(front.where) as client:
        stream = client.request("/slow")
        eventually(lambda: server.received, what="the member has it")
        client.state.reset_stream(stream, 8)
        client.flush()
        assert ended.wait(10), "the member's connection is let go"
        assert client.ask("/").status == 200


def test_own_answers_and_policies(member, stage):
    server = member("a")
    front = stage.secure([server], listener={"http2_enable": True, "enhance_l7policy_enable": True})
    stage.api.create("l7policies", "l7policy", listener_id=front.listener["id"], action="FIXED_RESPONSE", fixed_response_config={"status_code": "418", "message_body": "tea"},
                     rules=[{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/tea"}])
    with Http2(front.where) as client:
        assert (client.ask("/tea").status, client.ask("/tea").body) == (418, b"tea")
        assert client.ask("/").status == 200
        front.remove(server)
        answer = client.ask("/")
        assert (answer.status, answer.header("x-router-code")) == (404, "40000")


def test_settings_say_what_is_allowed(client):
    client.ask()
    remote = client.state.remote_settings
    assert 50 <= remote.max_concurrent_streams <= 1000
    assert remote[h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE] <= 262_144
    assert remote.enable_connect_protocol == 1, "RFC 8441"


def test_off_means_http11(member, stage):
    front = stage.secure([member("a")])
    with tls.Secure(front.where, context=tls.context(alpn=["h2", "http/1.1"])) as client:
        assert client.socket.selected_alpn_protocol() in (None, "http/1.1") and client.ask().body == b"a"
    front.edit(http2_enable=True)
    with Http2(front.where) as client:
        assert client.ask().body == b"a"
    with tls.Secure(front.where, context=tls.context(alpn=["http/1.1"])) as client:
        assert client.ask().body == b"a"


def test_h2load(front):
    done = subprocess.run(["h2load", "-n", "4000", "-c", "16", "-m", "20", f"https://{front.url}/"], capture_output=True, text=True, timeout=60)
    assert re.search(r"requests: 4000 total, .*4000 succeeded, 0 failed", done.stdout), done.stdout + done.stderr
    assert "status codes: 4000 2xx" in done.stdout and "Application protocol: h2" in done.stdout


def test_curl(tmp_path, front):
    (tmp_path / "ca").write_text(pki.authority().pem)
    done = subprocess.run(["curl", "--http2", "--cacert", str(tmp_path / "ca"), "--resolve", f"{tls.SITE}:{front.where[1]}:{front.where[0]}", "--noproxy", "*", "--silent",
                           "--show-error", "--max-time", "20", "-w", " %{http_version}", "--data", "hello", f"https://{tls.SITE}:{front.where[1]}/echo"], capture_output=True, timeout=30)
    assert done.stdout == b"hello 2", done
