"""TCP listeners: bytes both ways, each end and each break passed on."""

import hashlib
import socket
import threading

import pytest

from harness.http_member import BLOCK
from harness.members import EchoMember, GreetMember, ScriptMember, reset
from harness.wait import eventually

MIB = 1 << 20


def test_echo_in_pieces_of_any_size(member, stage):
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP")
    with front.connect() as client:
        for size in (1, 2, 1000, 65536, 300_000):
            data = (BLOCK * 5)[:size]
            sender = threading.Thread(target=client.send, args=(data,))
            sender.start()
            assert client.exactly(size) == data
            sender.join()


def test_the_server_may_speak_first(member, stage):
    front = stage.front([member("hello", kind=GreetMember)], protocol="TCP")
    with front.connect() as client:
        assert client.until(b"\n") == b"hello"


def test_half_close_of_the_client_reaches_the_member_and_its_rest_comes_back(member, stage):
    front = stage.front([member("end", kind=EchoMember)], protocol="TCP")
    with front.connect() as client:
        client.send(b"last words").finish()
        assert client.rest() == b"last words<end>"


def test_half_close_of_the_member_leaves_the_other_way_open(member, stage):
    got = []

    def script(connection, server):
        connection.sendall(b"all I say")
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(100):
            got.append(piece)
        got.append("end")
    front = stage.front([member("half", kind=ScriptMember, script=script)], protocol="TCP")
    with front.connect() as client:
        assert client.rest() == b"all I say"
        client.send(b"still here")
        eventually(lambda: got == [b"still here"], what="bytes after the member's end")
        client.finish()
        eventually(lambda: got[-1] == "end", what="the client's end at the member")


def test_a_big_transfer_both_ways_is_whole(member, stage):
    total = 256 * MIB
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP")
    sent, received = hashlib.sha256(), hashlib.sha256()
    with front.connect() as client:
        def send():
            for number in range(total // MIB):
                block = (number.to_bytes(4, "big") + BLOCK * 16)[:MIB]
                sent.update(block)
                client.send(block)
            client.finish()
        sender = threading.Thread(target=send)
        sender.start()
        client.pieces(total, received.update)
        sender.join()
        assert client.rest() == b"<e>"
    assert sent.digest() == received.digest()


def test_a_reset_of_the_client_reaches_the_member(member, stage):
    seen = []

    def script(connection, server):
        connection.sendall(b"go")
        try:
            seen.append(connection.recv(100))
        except ConnectionResetError:
            seen.append("reset")
    front = stage.front([member("r", kind=ScriptMember, script=script)], protocol="TCP")
    with front.connect() as client:
        client.exactly(2)
        reset(client.socket)
    eventually(lambda: seen == ["reset"], what="RST at the member")


def test_a_reset_of_the_member_reaches_the_client(member, stage):
    def script(connection, server):
        connection.recv(100)
        reset(connection)
    front = stage.front([member("r", kind=ScriptMember, script=script)], protocol="TCP")
    with front.connect() as client:
        client.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.exactly(1)


def test_idle_connections_are_reset_after_the_idle_timeout(member, stage):
    """10 s is the shortest that the API takes."""
    front = stage.front([member("e", kind=EchoMember)], protocol="TCP", listener={"keepalive_timeout": 10})
    with front.connect(deadline=20) as client, front.connect(deadline=20) as busy:
        assert client.send(b"x").exactly(1) == b"x"
        gone = []

        def watch():
            try:
                gone.append(client.socket.recv(1))
            except ConnectionResetError:
                gone.append("reset")
        watcher = threading.Thread(target=watch)
        watcher.start()

        def still_there():
            assert busy.send(b"y").exactly(1) == b"y"
            return gone
        eventually(still_there, within=16, what="the idle one closed while the busy one lives")
        watcher.join()
        assert gone == ["reset"], "expiry sends RST"


def test_no_members_is_no_connection(stage):
    front = stage.front(protocol="TCP")
    try:
        with front.connect() as client:
            assert client.is_closed()
    except ConnectionError:
        pass


def test_many_connections_at_once(member, stage):
    server = member("e", kind=EchoMember)
    front = stage.front([server], protocol="TCP")
    clients = [front.connect() for _ in range(500)]
    for number, client in enumerate(clients):
        client.send(b"%04d" % number)
    assert [client.exactly(4) for client in clients] == [b"%04d" % number for number in range(500)]
    for client in clients:
        client.close()
    eventually(lambda: server.open == 0, what="all closed on the member's side, too")


def test_source_ip_keeps_tcp_clients_on_their_member(member, stage):
    front = stage.front([member("a", kind=GreetMember), member("b", kind=GreetMember)], protocol="TCP", pool={"lb_algorithm": "SOURCE_IP"})

    def greeting(source):
        with front.connect(source=source) as client:
            return client.until(b"\n")
    sources = [f"127.0.4.{last}" for last in range(1, 31)]
    first = [greeting(source) for source in sources]
    assert [greeting(source) for source in sources] == first and len(set(first)) == 2


def test_back_pressure_bounds_what_is_in_between(fulcrum, member, stage):
    """A member that does not read stops the client after a bounded number of bytes."""
    server = member("deaf", kind=ScriptMember, script=lambda connection, server: server.gate.wait(60))
    front = stage.front([server], protocol="TCP")
    before = fulcrum.rss_kib()
    with front.connect() as client:
        client.socket.settimeout(1)
        sent = 0
        try:
            while sent < 512 * MIB:
                sent += client.socket.send(BLOCK)
        except TimeoutError:
            pass
        assert sent < 64 * MIB, "it swallowed everything"
        assert fulcrum.rss_kib() - before < 32 * 1024
