"""Bodies larger than memory should be: streamed both ways, bounded, and at the reader's pace."""

import threading

import pytest

from harness.http_member import BLOCK
from harness.wait import eventually, holds

MIB = 1 << 20
GIB = 1 << 30
GROWTH_KIB = 64 * 1024


@pytest.fixture
def growth(fulcrum):
    """How many KiB the process grew since the test began, at the most seen."""
    begun = fulcrum.rss_kib()
    peak = [begun]
    done = threading.Event()

    def watch():
        while not done.wait(0.05):
            peak[0] = max(peak[0], fulcrum.rss_kib())
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield lambda: max(peak[0], fulcrum.rss_kib()) - begun
    done.set()
    watcher.join()


@pytest.mark.parametrize("path", [f"/bytes/{GIB}", f"/chunked/{GIB}"], ids=["length", "chunked"])
def test_a_gibibyte_down(member, stage, growth, path):
    front = stage.front([member()])
    with front.connect() as client:
        answer = client.request(path).answer(keep=False)
        assert (answer.status, answer.length) == (200, GIB)
        assert client.ask().status == 200
    assert growth() <= GROWTH_KIB


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_gibibyte_up(member, stage, growth, chunked):
    front = stage.front([member()])
    with front.connect() as client:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % GIB
        client.send(b"POST /sink HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        big = (BLOCK * 16)[:MIB]
        piece = b"%x\r\n%s\r\n" % (MIB, big) if chunked else big
        for _ in range(GIB // MIB):
            client.send(piece)
        if chunked:
            client.send(b"0\r\n\r\n")
        assert client.answer().body == str(GIB).encode()
    assert growth() <= GROWTH_KIB


def test_fifty_slow_readers_hold_little_memory(member, stage, growth):
    server = member()
    front = stage.front([server])
    clients = [front.connect(receive_buffer=4096) for _ in range(50)]
    for client in clients:
        client.request(f"/bytes/{64 * MIB}")
    eventually(lambda: server.count(f"/bytes/{64 * MIB}") == 50, what="all fifty asked")
    holds(lambda: growth() <= GROWTH_KIB, during=2, what="memory while nobody reads")
    assert clients[0].answer(keep=False).length == 64 * MIB, "the one who reads gets all"
    assert front.get().status == 200, "others are served meanwhile"
    for client in clients:
        client.close()
    eventually(lambda: server.open <= 4, what="the members' side is freed")


def test_a_slow_writer_is_served_while_the_member_waits(member, stage):
    front = stage.front([member()])
    with front.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            client.send(b"x")
        assert client.answer().body == b"x" * 100


def test_a_member_that_does_not_read_stops_the_client(fulcrum, member, stage, growth):
    from harness.members import ScriptMember
    server = member("deaf", kind=ScriptMember, script=lambda connection, server: server.gate.wait(60))
    front = stage.front([server])
    with front.connect() as client:
        client.socket.settimeout(1)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIB)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < GIB:
                sent += client.socket.send(BLOCK)
        assert sent < 64 * MIB
    assert growth() < 32 * 1024
