"""HTTP/2 clients that mean harm: their connection ends, memory stays small, and everyone else is served."""

import contextlib
import time

import hpack
import pytest

from harness.http2 import Http2, frame

REQUEST = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/abuse")]
ENOUGH = 1_000_000  # frames: whoever takes as many takes any number; fewer may lie in the sockets between


@pytest.fixture
def server(member):
    """The member behind."""
    return member("a")


@pytest.fixture
def front(server, stage):
    """A listener with HTTP/2."""
    return stage.secure([server], listener={"http2_enable": True})


@pytest.fixture(autouse=True)
def others_are_served_and_memory_is_small(fulcrum, front):
    """Before, and after."""
    with Http2(front.where) as honest:
        assert honest.ask().body == b"a"
        before = fulcrum.rss_kib()
        yield
        assert honest.ask().body == b"a", "a connection from before"
        with Http2(front.where) as new:
            assert new.ask().body == b"a"
        assert fulcrum.rss_kib() - before < 64 * 1024


def flood(front, pieces, seconds=15):
    """Sends pieces until the connection is ended by the other side; answers how many went out. Reads nothing meanwhile."""
    sent, until = 0, time.monotonic() + seconds
    with contextlib.closing(Http2(front.where, deadline=seconds)) as client:
        client.ask()
        for piece, count in pieces(client):
            if not client.raw(piece):
                return sent
            sent += count
            assert sent < ENOUGH and time.monotonic() < until, f"still open after {sent}"
        with contextlib.suppress(OSError):
            client.ended()
        assert client.closed
    return sent


def test_rapid_reset(front, server):
    def pieces(client):
        for stream in range(3, 400_000, 2):
            block = hpack.Encoder().encode(REQUEST)
            yield frame(1, stream, block, flags=5) + frame(3, stream, (8).to_bytes(4, "big")), 1
    assert flood(front, pieces) < 50_000
    assert server.count("/abuse") < 5_000, "most never reached a member"


def test_resets_that_we_are_made_to_send_count_as_well(front):
    """Each request is refused with a reset by us: the same attack from the other side."""
    def pieces(client):
        for stream in range(3, 400_000, 2):
            yield frame(1, stream, hpack.Encoder().encode([*REQUEST, ("connection", "close")]), flags=5), 1
    assert flood(front, pieces) < 50_000


def test_window_updates_of_zero_are_errors(front):
    def pieces(client):
        for stream in range(3, 400_000, 2):
            yield frame(1, stream, hpack.Encoder().encode([(":method", "POST"), *REQUEST[1:]]), flags=4) + frame(8, stream, bytes(4)), 1
    assert flood(front, pieces) < 50_000


def test_continuation_flood(front):
    def pieces(client):
        yield frame(1, 3, hpack.Encoder().encode(REQUEST)), 1
        filler = hpack.Encoder().encode([("x-filler", "y" * 1000)])
        while True:
            yield frame(9, 3, filler), 1
    assert flood(front, pieces) < 20_000


def test_empty_continuation_flood(front):
    def pieces(client):
        yield frame(1, 3, hpack.Encoder().encode(REQUEST)), 1
        while True:
            yield frame(9, 3) * 100, 100
    flood(front, pieces)


SMALL = {"settings": frame(4, 0), "ping": frame(6, 0, b"12345678"), "empty data": frame(0, 3)}


@pytest.mark.parametrize("what", SMALL)
def test_floods_of_small_frames(front, what):

    def pieces(client):
        yield frame(1, 3, hpack.Encoder().encode([(":method", "POST"), *REQUEST[1:3], (":path", "/sink")]), flags=4), 1
        while True:
            yield SMALL[what] * 200, 200
    flood(front, pieces)


def test_a_header_bomb(front):
    """A small block that unpacks to 16 MB: one long value in the table, named four thousand times."""
    with Http2(front.where) as client:
        client.ask()
        encoder = hpack.Encoder()
        first = encoder.encode([*REQUEST, ("x-bomb", "b" * 3900)])
        client.raw(frame(1, 3, first, flags=5))
        index = encoder.encode([("x-bomb", "b" * 3900)])
        assert len(index) == 1
        head = hpack.Encoder().encode(REQUEST) + index * 4000
        client.streams[5] = type(client.streams[1])()
        client.raw(frame(1, 5, head, flags=5))
        with contextlib.suppress(Exception):
            for _ in range(50):
                if client.closed or client.streams[5].reset is not None:
                    break
                client.pump()
    # the fixture looks at memory, and that others are served


def test_windows_that_stay_shut_hold_nobody_up(front, fulcrum):
    before = fulcrum.rss_kib()
    stalled = [Http2(front.where, settings={4: 0}) for _ in range(4)]
    try:
        for client in stalled:
            for _ in range(30):
                client.request("/bytes/10000000")
        with Http2(front.where) as honest:
            assert honest.ask("/bytes/1000000").length == 1_000_000
        assert fulcrum.rss_kib() - before < 100 * 1024
    finally:
        for client in stalled:
            client.close()
