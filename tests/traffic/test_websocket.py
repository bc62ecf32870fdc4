"""Upgrades: WebSocket through the load balancer, as a tunnel that begins with the member's 101."""

import contextlib

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from harness import tls
from harness.http2 import Http2
from harness.members import ScriptMember
from harness.wait import eventually


def test_messages_both_ways(member, stage):
    server = member("ws")
    front = stage.front([server])
    with connect(f"ws://{front.url}/ws", proxy=None, max_size=None) as socket:
        for message in ("hello", "ünï", b"bytes", "x" * 70_000, b"y" * 3_000_000):
            socket.send(message)
            assert socket.recv(timeout=10) == message
    eventually(lambda: server.open == 0, what="the tunnel ends on both sides")
    request = server.requests[0]
    assert (request.header("upgrade"), request.header("connection")) == (["websocket"], ["Upgrade"])
    assert request.header("x-forwarded-for") == ["127.0.0.1"]


def test_a_refused_upgrade_is_passed_on(member, stage):
    front = stage.front([member()])
    with pytest.raises(InvalidStatus) as refused:
        with connect(f"ws://{front.url}/status/403", proxy=None):
            pass
    assert refused.value.response.status_code == 403


def test_many_sockets_at_once_and_edits_leave_them_alone(member, stage):
    front = stage.front([member("a"), member("b")])
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(f"ws://{front.url}/ws", proxy=None)) for _ in range(20)]
        front.edit(description="edited")
        front.edit_pool(lb_algorithm="LEAST_CONNECTIONS")
        for number, socket in enumerate(sockets):
            socket.send(str(number))
            assert socket.recv(timeout=10) == str(number)


def test_any_protocol_can_be_upgraded_to_and_early_bytes_are_kept(member, stage):
    def script(connection, server):
        head = server.read_head(connection)
        assert b"chat/1" in head
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\nwelcome\n")
        while piece := connection.recv(1000):
            connection.sendall(piece.upper())
    front = stage.front([member("chat", kind=ScriptMember, script=script)])
    with front.connect() as client:
        client.send(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\n\r\n")
        assert client.answer().status == 101
        assert client.until(b"\n") == b"welcome"
        assert client.send(b"abc").exactly(3) == b"ABC"
        client.finish()
        assert client.rest() == b""


def test_a_tunnel_is_not_cut_by_the_request_timeouts(member, stage):
    front = stage.front([member("ws")], listener={"client_timeout": 1, "member_timeout": 1, "keepalive_timeout": 30})
    with connect(f"ws://{front.url}/ws", proxy=None) as socket:
        with pytest.raises(TimeoutError):
            socket.recv(timeout=2.5)
        socket.send("still here")
        assert socket.recv(timeout=5) == "still here"


def test_over_tls(member, stage):
    front = stage.secure([member("ws")])
    with connect(f"wss://{front.url}/ws", proxy=None, max_size=None, ssl=tls.context(), server_hostname=tls.SITE) as socket:
        for message in ("hello", b"bytes", "x" * 70_000, b"y" * 3_000_000):
            socket.send(message)
            assert socket.recv(timeout=10) == message


OPEN = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "app.example.com")]
SOCKET = [("sec-websocket-version", "13"), ("origin", "https://app.example.com")]


def message(text):
    """A text message of a client, masked with zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def test_over_http2(member, stage):
    """RFC 8441: each socket is a stream, beside requests."""
    server = member("ws")
    front = stage.secure([server], listener={"http2_enable": True})
    with Http2(front.where) as client:
        client.ask()
        sockets = [client.request(pseudo=[*OPEN, (":path", "/ws?x=1")], headers=SOCKET, end=False) for _ in range(3)]
        for stream in sockets:
            assert client.wait(stream, lambda one: one.headers).answer.status == 200
        for text in (b"hello", b"again"):
            for stream in sockets:
                client.streams[stream].body = b""
                client.send(stream, message(text), end=False)
                assert client.wait(stream, lambda one: len(one.body) >= 2 + len(text)).body == bytes([0x81, len(text)]) + text
        assert client.ask("/").body == b"ws"
        request = next(one for one in server.requests if one.target == "/ws?x=1")
        assert (request.method, request.header("upgrade"), len(request.header("sec-websocket-key"))) == ("GET", ["websocket"], 1)
        client.send(sockets[0], bytes([0x88, 0x80]) + bytes(4), end=True)
        assert client.wait(sockets[0], lambda one: one.ended).ended
        client.state.reset_stream(sockets[1], 8)
        client.flush()
        eventually(lambda: server.open <= 2, what="two tunnels are gone")


def test_over_http2_a_refusal_is_an_answer_and_other_protocols_are_refused(member, stage):
    front = stage.secure([member("ws")], listener={"http2_enable": True})
    with Http2(front.where) as client:
        client.ask()
        assert client.status(client.request(pseudo=[*OPEN, (":path", "/status/403")], headers=SOCKET, end=False)) == 403
        other = [OPEN[0], (":protocol", "connect-udp"), *OPEN[2:], (":path", "/x")]
        assert client.status(client.request(pseudo=other, end=False)) in (400, 501, "reset")
        assert client.status(client.request(pseudo=[OPEN[0], OPEN[3]], end=False)) in (400, 405, 501, "reset")
        assert client.ask().body == b"ws"
