"""Answers that the load balancer makes itself: status, x-router-code, Server, timeouts, retries."""

import pytest

from harness.members import FullBacklog, ScriptMember, answers
from harness.wait import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def own(answer, status, code=None):
    """It must be an answer of the load balancer itself."""
    assert (answer.status, answer.header("x-router-code")) == (status, code), answer
    assert answer.header("server") == "elb"
    assert f"{status} ".encode() in answer.body or answer.length == 0


def test_no_default_pool_is_404(api, stage):
    front = stage.front()
    front.edit(default_pool_id=None)
    own(front.get(), 404, "40000")


def test_no_members_is_404(stage):
    own(stage.front().get(), 404, "40000")


def test_all_unhealthy_is_503(member, stage):
    server = member()
    front = stage.front([server], monitor={"type": "HTTP", "url_path": "/status/500"})
    front.wait_status(server, "OFFLINE")
    own(front.get(), 503, "50000")


def test_a_refused_connection_is_502(member, stage):
    server = member()
    front = stage.front([server])
    server.stop()
    own(front.get(), 502)


def test_own_answers_keep_the_connection(stage):
    front = stage.front()
    with front.connect() as client:
        assert [client.ask().status for _ in range(3)] == [404] * 3
        assert client.ask(method="HEAD").status == 404
        assert client.ask(method="POST", body=b"x" * 1000).status in (404, 413)


BAD_ANSWERS = [
    ("no HTTP at all", b"HELLO\r\n\r\n"),
    ("HTTP/2 words", b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status that is no number", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("length and chunked", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("an odd length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("a coding that nobody asked for", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("a folded header", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL in a header", b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok"),
    ("bare CR in a header", b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    ("bare LF ends a line", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    ("closed without an answer", b""),
    ("closed inside the head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("a head without end", b"HTTP/1.1 200 OK\r\n" + b"X-Pad: %s\r\n" % (b"x" * 1000) * 200),
]


@pytest.mark.parametrize("why, raw", BAD_ANSWERS, ids=[row[0] for row in BAD_ANSWERS])
def test_a_bad_answer_is_502(member, stage, why, raw):
    server = member("bad", kind=ScriptMember, script=answers(raw))
    front = stage.front([server])
    own(front.get(), 502)
    assert front.get().status == 502, "and the next client is served the same, on a connection of its own"


def test_a_reset_while_sending_the_answer_is_502(member, stage):
    front = stage.front([member("reset", kind=ScriptMember, script=answers(then="reset"))])
    own(front.get(), 502)


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
                                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n"], ids=["length", "chunked", "bad chunk size"])
def test_an_answer_cut_short_is_seen_as_such_by_the_client(member, stage, raw):
    front = stage.front([member("short", kind=ScriptMember, script=answers(raw))])
    try:
        assert front.get().status == 502, "what was seen to be broken before anything was passed on"
    except (ConnectionError, ValueError):
        pass  # the client sees a body without its end


def test_bytes_after_the_answer_never_reach_another_client(member, stage):
    smuggled = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
    server = member("poison", kind=ScriptMember, script=answers(smuggled, then="again"))
    front = stage.front([server])
    with front.connect() as one, front.connect() as two:
        for client in (one, two, one, two, one):
            assert client.ask().body == b"ok"
    assert server.connections >= 5, "a connection with bytes left over is never used again"


def test_no_answer_in_the_response_timeout_is_504(member, stage):
    server = member("silent", kind=ScriptMember, script=answers(then="hold"))
    front = stage.front([server], listener={"member_timeout": 1})
    own(front.get(), 504)


def test_no_connection_in_five_seconds_is_504(stage):
    with FullBacklog() as server:
        front = stage.front([server])
        own(front.get(), 504)


def test_a_gap_inside_the_answer_longer_than_the_timeout_ends_it(member, stage):
    server = member("stuck", kind=ScriptMember, script=answers(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then="hold"))
    front = stage.front([server], listener={"member_timeout": 1})
    with pytest.raises(ConnectionError):
        front.get()


HALF_REQUESTS = [("half a request line", b"GET / HT"), ("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n"),
                 ("half a body", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"),
                 ("half a chunk", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha")]


@pytest.mark.parametrize("why, raw", HALF_REQUESTS, ids=[row[0] for row in HALF_REQUESTS])
def test_a_request_that_does_not_come_is_408(member, stage, why, raw):
    front = stage.front([member()], listener={"client_timeout": 1})
    with front.connect() as client:
        answer = client.send(raw).answer()
        own(answer, 408)
        assert client.is_closed()


def test_an_idle_connection_is_closed_after_the_idle_timeout(member, stage):
    front = stage.front([member()], listener={"keepalive_timeout": 1})
    with front.connect() as client:
        assert client.ask().status == 200
        assert client.is_closed(), "without any 408: nothing was asked"


def test_idle_timeout_zero_is_no_keep_alive(member, stage):
    front = stage.front([member()], listener={"keepalive_timeout": 0})
    with front.connect() as client:
        answer = client.ask()
        assert (answer.status, (answer.header("connection") or "").lower()) == (200, "close")
        assert client.is_closed()


# -- retries

def test_a_safe_request_is_tried_on_another_member(member, stage):
    bad = member("bad", kind=ScriptMember, script=answers())
    front = stage.front([bad, member("good")])
    assert front.names(10) == ["good"] * 10


def test_a_request_that_is_not_safe_to_repeat_is_sent_once(member, stage):
    bad = member("bad", kind=ScriptMember, script=answers())
    good = member("good")
    front = stage.front([bad, good])
    statuses = [front.get("/pay", method="POST", body=b"100").status for _ in range(10)]
    assert 502 in statuses and 200 in statuses
    assert good.count("/pay") == statuses.count(200) and len(bad.received) == statuses.count(502)


def test_an_unsafe_request_that_was_never_sent_is_tried_elsewhere(member, stage):
    dead, good = member("dead"), member("good")
    front = stage.front([dead, good])
    dead.stop()
    assert [front.get("/pay", method="POST", body=b"100").status for _ in range(10)] == [200] * 10
    assert good.count("/pay") == 10


def test_no_retry_when_the_listener_says_so(member, stage):
    dead, good = member("dead"), member("good")
    front = stage.front([dead, good], listener={"enable_member_retry": False})
    dead.stop()
    assert {front.get().status for _ in range(10)} == {200, 502}


def test_a_kept_connection_that_the_member_closed_costs_no_request(member, stage):
    server = member()
    front = stage.front([server])
    with front.connect() as client:
        assert client.ask().status == 200
        server.cut()
        eventually(lambda: server.open == 0, what="the member closed its side")
        assert client.ask().status == 200


def test_a_client_that_goes_away_frees_the_member(member, stage):
    server = member()
    front = stage.front([server])
    client = front.connect().request("/gate")
    eventually(lambda: server.count("/gate") == 1, what="the request arrived")
    client.close()
    server.gate.set()
    eventually(lambda: server.open <= 1, what="no connection left working")
    assert front.get().status == 200
